"""The error of a transcoder, e = y − T(x), as a function of x: against a dense regression, in every layout."""

import json

import numpy as np
import pytest
import torch
import transcoder_case as case
from api_case import CONTEXTS, D_MODEL, POSITIONS, QUICK, TopK
from safetensors.numpy import load_file, save_file

from darkmatter import decompose
from darkmatter.api.decompose import DEFAULTS
from darkmatter.cli import main
from darkmatter.regression.splits import draw_splits
from darkmatter.saes.published.load import load_pretrained
from darkmatter.saes.published.transcoders import load_transcoder
from darkmatter.storage.artifacts import ArtifactError

X, FLAT = case.X, case.X.reshape(-1, D_MODEL)
SQUARE, OTHER = D_MODEL, 7
NAMES = ("fvu", "fvu_nonlinear", "vector_r2", "norm_r2")


def dense(y, output, split):
    """The four numbers by least squares on all rows at once, in float64."""
    splits = draw_splits(CONTEXTS, POSITIONS, DEFAULTS.fit_share, QUICK["folds"], 0)
    fits = splits.fits_on(split).ravel()
    x = np.concatenate([FLAT, np.ones((len(FLAT), 1))], 1).astype(np.float64)
    y, output = (part.reshape(len(FLAT), -1).astype(np.float64) for part in (y, output))
    error = y - output
    left = error - x @ np.linalg.lstsq(x[fits], error[fits], rcond=None)[0]
    norms = (error**2).sum(1)
    of_norms = norms - x @ np.linalg.lstsq(x[fits], norms[fits], rcond=None)[0]

    def spread(values):
        return ((values[~fits] - values[~fits].mean(0)) ** 2).sum(0)

    return {
        "fvu": norms[~fits].sum() / spread(y).sum(),
        "fvu_nonlinear": (left[~fits] ** 2).sum() / spread(y).sum(),
        "vector_r2": np.mean(1 - (left[~fits] ** 2).sum(0) / spread(error)),
        "norm_r2": 1 - (of_norms[~fits] ** 2).sum() / spread(norms),
    }


def assert_dense(result, y, output):
    for split in ("token", "context"):
        expected = dense(y, output, split)
        for name in NAMES:
            assert result.estimate(name, split)["value"] == pytest.approx(expected[name], abs=2e-5), (name, split)


LAYOUTS = {  # of each: does it have a threshold, may d_out differ from d_in
    "sae-lens": (case.sae_lens, True, True),
    "gemma-scope-2": (case.gemma_scope_2, True, False),
    "gemma-scope": (case.gemma_scope, True, False),
    "layer": (case.layer, False, False),
}


def made(layout, skip, d_out):
    write, jump, _ = LAYOUTS[layout]
    weights = case.make_weights(d_out, skip)
    if not jump:
        del weights["threshold"]
    return write, weights


CASES = [(layout, skip) for layout in LAYOUTS for skip in (False, True) if (layout, skip) != ("gemma-scope", True)]


@pytest.mark.parametrize(("layout", "skip"), CASES)
def test_every_layout_gives_the_numbers_of_a_dense_regression(tmp_path, layout, skip):
    d_out = OTHER if LAYOUTS[layout][2] else SQUARE
    write, weights = made(layout, skip, d_out)
    y = case.make_targets(d_out)
    loaded = load_transcoder(write(tmp_path / "made", weights))
    result = decompose(X, loaded.sae, targets=y, **QUICK)
    assert result.d_out == d_out and result.d_sae == loaded.d_sae == weights["W_enc"].shape[1]
    assert_dense(result, y, case.output_of(weights, FLAT))
    assert (result.without_skip is not None) == skip
    if skip:
        assert_dense(result.without_skip, y, case.output_of(weights, FLAT, skip=False))


def test_a_skip_is_linear_so_that_what_no_linear_map_explains_is_the_same_without_it(tmp_path):
    weights = case.make_weights(OTHER, True)
    sae = load_transcoder(case.sae_lens(tmp_path / "made", weights)).sae
    result = decompose(X, sae, targets=case.make_targets(OTHER), **QUICK)
    bare = result.without_skip
    for split in ("token", "context"):
        own, other = (one.estimate("fvu_nonlinear", split)["value"] for one in (result, bare))
        assert own == pytest.approx(other, rel=1e-4)
        assert bare.estimate("fvu", split)["value"] > 1.5 * result.estimate("fvu", split)["value"]
        assert bare.estimate("vector_r2", split)["value"] > result.estimate("vector_r2", split)["value"]
    assert bare.l0 == result.l0
    assert "without the skip connection" in str(result) and f"d_out {OTHER}" in str(result)
    content = json.loads(result.to_json())
    assert content["without_skip"]["estimates"] == bare.estimates and content["without_skip"]["without_skip"] is None
    frame = result.to_frame()
    assert set(frame["skip"]) == {True, False}


def test_given_output_in_memory_and_any_decoder_agree(tmp_path):
    """The same T(x) as an object of sae-lens, as two functions, and as rows that were computed elsewhere."""
    weights = case.make_weights(OTHER, False)
    y = case.make_targets(OTHER)
    sae = load_transcoder(case.sae_lens(tmp_path / "made", weights)).sae
    whole = decompose(X, sae, targets=y, **QUICK)
    functions = decompose(X, (sae.encode, lambda acts: sae.decode(acts) + 0.0), targets=y, **QUICK)
    output = case.output_of(weights, FLAT).reshape(*X.shape[:2], OTHER).astype(np.float32)
    given = decompose(X, targets=torch.from_numpy(y), reconstructions=output, **QUICK)
    for other in (functions, given):
        for name in NAMES:
            assert other.estimate(name)["value"] == pytest.approx(whole.estimate(name)["value"], abs=1e-5)
    assert functions.l0 == whole.l0 and given.l0 is None


def test_given_output_of_a_transcoder_with_a_skip_has_the_numbers_without_it_too(tmp_path):
    weights = case.make_weights(OTHER, True)
    y = case.make_targets(OTHER)
    sae = load_transcoder(case.sae_lens(tmp_path / "made", weights)).sae
    output = case.output_of(weights, FLAT).reshape(*X.shape[:2], OTHER).astype(np.float32)
    result = decompose(X, sae, targets=y, reconstructions=output, **QUICK)
    assert_dense(result, y, case.output_of(weights, FLAT))
    assert_dense(result.without_skip, y, case.output_of(weights, FLAT, skip=False))


def test_x_as_its_own_target_gives_the_numbers_of_the_sae():
    own = decompose(X, TopK(X), **QUICK)
    assert decompose(X, TopK(X), targets=X.copy(), **QUICK).estimates == own.estimates


def test_masked_and_flat_rows_have_the_targets_of_the_same_rows():
    y = case.make_targets(OTHER)
    mask = np.arange(POSITIONS) < np.where(np.arange(CONTEXTS) % 2, POSITIONS, 40)[:, None]
    weights = case.make_weights(OTHER, False)
    output = case.output_of(weights, FLAT).reshape(*X.shape[:2], OTHER).astype(np.float32)
    grid = decompose(X, targets=y, reconstructions=output, mask=mask, **QUICK)
    ids = np.repeat(np.arange(CONTEXTS), POSITIONS).reshape(CONTEXTS, POSITIONS)[mask]
    flat = decompose(X[mask], targets=y[mask], reconstructions=output[mask], context_ids=ids, **QUICK)
    assert grid.estimates == flat.estimates and grid.rows == mask.sum()


# On the command line.


@pytest.fixture
def inside(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    np.save("x.npy", X)
    np.save("y.npy", case.make_targets(SQUARE))
    case.gemma_scope_2(tmp_path / "affine", case.make_weights(SQUARE, True))
    case.gemma_scope_2(tmp_path / "plain", case.make_weights(SQUARE, False))
    return tmp_path


def test_the_command_decomposes_a_transcoder_with_its_targets(inside, capsys):
    main(["decompose", "--activations", "x.npy", "--targets", "y.npy", "--sae", "affine", "--json", "--threads", "1"])
    result = json.loads(capsys.readouterr().out)
    expected = decompose(X, load_transcoder("affine").sae, targets=case.make_targets(SQUARE), threads=1)
    assert result["estimates"] == expected.estimates
    assert result["without_skip"]["estimates"] == expected.without_skip.estimates
    assert result["source"]["rows"]["targets"]["file"] == "y.npy"
    assert sorted(result["source"]["sae"]["sha256"]) == ["config.json", "params.safetensors"]


def test_many_transcoders_share_one_call(inside, capsys):
    main(["decompose", "--activations", "x.npy", "--targets", "y.npy", "--sae", "affine", "plain", "--json"])
    result = json.loads(capsys.readouterr().out)
    assert list(result) == ["affine", "plain"] and result["plain"]["without_skip"] is None


def refused(capsys, *arguments):
    with pytest.raises(SystemExit):
        main(["decompose", *arguments])
    said = capsys.readouterr().err
    assert said.startswith("error: ") and said.count("\n") == 1
    return said


def test_a_transcoder_without_targets_is_refused_with_what_to_give(inside, capsys):
    said = refused(capsys, "--activations", "x.npy", "--sae", "plain")
    assert "it is a transcoder" in said and "--targets FILE" in said
    case.sae_lens(inside / "own", case.make_weights(OTHER, True))
    assert "--targets FILE" in refused(capsys, "--activations", "x.npy", "--sae", "own")
    with pytest.raises(ArtifactError, match=r"blocks\.1\.hook_mlp_out.*--targets FILE \(targets=\)"):
        decompose(X, load_transcoder("own").sae, **QUICK)


def test_targets_that_do_not_fit_are_refused(inside, capsys):
    np.save("short.npy", case.make_targets(SQUARE)[:5])
    assert "targets are [5, 60, 10]" in refused(
        capsys, "--activations", "x.npy", "--targets", "short.npy", "--sae", "plain"
    )
    case.sae_lens(inside / "own", case.make_weights(OTHER, False))
    assert "d_out 7, the targets 10" in refused(capsys, "--activations", "x.npy", "--targets", "y.npy", "--sae", "own")
    assert "--targets is about" in refused(capsys, "--model", "m", "--targets", "y.npy", "--sae", "own")
    assert "nowhere.npy does not exist" in refused(
        capsys, "--activations", "x.npy", "--targets", "nowhere.npy", "--sae", "own"
    )


# Files that are not what they say.


def changed(folder, **facts):
    path = folder / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | facts))
    return folder


@pytest.mark.parametrize(
    ("facts", "message"),
    [
        ({"type": "clt"}, "`type` is clt: each of its decoders adds to another layer"),
        ({"type": "sae"}, "decomposed without --targets"),
        ({"architecture": "topk"}, "only JumpReLU is read"),
        ({"affine_connection": True}, "says affine_connection True, but the weights have no"),
        ({"width": 64}, r"W_enc has latents × d_model \[32, 10\], expected \[64, 10\]"),
    ],
)
def test_a_description_that_contradicts_the_weights(inside, facts, message):
    with pytest.raises(ArtifactError, match=message):
        load_transcoder(changed(inside / "plain", **facts))


@pytest.mark.parametrize(
    ("name", "array", "message"),
    [
        ("affine_skip_connection", np.zeros((3, 3), np.float32), r"is \[3, 3\] or not finite"),
        ("affine_skip_connection", np.full((10, 10), np.nan, np.float32), "or not finite"),
        ("scale", np.ones(3, np.float32), "nothing here uses scale"),
        ("w_dec", np.full((32, 10), np.inf, np.float32), "W_dec holds NaN or infinity"),
    ],
)
def test_weights_that_cannot_be_meant(inside, name, array, message):
    path = inside / "affine" / "params.safetensors"
    save_file(load_file(path) | {name: array}, path)
    with pytest.raises(ArtifactError, match=message):
        load_transcoder(inside / "affine")


def test_a_folder_without_a_transcoder_and_an_sae_of_sae_lens(tmp_path):
    (tmp_path / "empty").mkdir()
    with pytest.raises(ArtifactError, match="no transcoder in a known layout"):
        load_transcoder(tmp_path / "empty")
    TopK(X).save(tmp_path / "sae")
    with pytest.raises(ArtifactError, match="'topk' is no transcoder's"):
        load_transcoder(tmp_path / "sae")


def test_a_transcoder_is_still_no_sae(inside):
    with pytest.raises(ArtifactError, match="it is a transcoder"):
        load_pretrained(inside / "affine")
