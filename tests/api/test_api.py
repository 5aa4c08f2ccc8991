"""`decompose` gives the numbers of the stage, whatever the form of activations and SAE, and refuses the rest early."""

import dataclasses
import json
import subprocess
import sys
from types import SimpleNamespace

import numpy as np
import pytest
import torch
import yaml
from api_case import CONTEXTS, D_MODEL, D_SAE, POSITIONS, QUICK, Nonlinear, Stateful, TopK, make_activations
from decomposition_reference import reference

from darkmatter import decompose
from darkmatter.api.contexts import store
from darkmatter.api.decompose import DEFAULTS
from darkmatter.api.progress import Progress
from darkmatter.decomposition import passes
from darkmatter.decomposition.results import estimate_sae
from darkmatter.decomposition.shared_moments import prepare
from darkmatter.models.activation_files import narrowed, widened
from darkmatter.regression.splits import draw_splits
from darkmatter.runner.code_identity import ROOT, direct_imports
from darkmatter.saes.codes import encode_rows
from darkmatter.storage.artifacts import ArtifactError, read_json, write_arrays

X = make_activations()
FLAT = X.reshape(-1, D_MODEL)


@pytest.fixture(scope="module")
def expected():
    return decompose(X, TopK(X), **QUICK)


def stage(folder, sae):
    """What the pipeline's stages write for the same SAE."""
    for name in ("moments", "out", "estimates"):
        (folder / name).mkdir()
    np.save(folder / "x.npy", X)
    split = {"fit_share": DEFAULTS.fit_share, "folds": QUICK["folds"], "split_seed": DEFAULTS.split_seed}
    prepare(folder / "moments", str(folder / "x.npy"), **split, eigen_cutoff=DEFAULTS.eigen_cutoff)
    codes = dict(zip(("index", "value", "l0"), encode_rows(sae, FLAT, "sae"), strict=True))
    write_arrays(folder / "codes.npz", codes)
    files = {"codes": str(folder / "codes.npz"), "sae": str(sae.save(folder / "sae"))}
    passes.decompose(folder / "out", str(folder / "x.npy"), str(folder / "moments"), **files, **split)
    moments = str(folder / "moments" / "activations.npz")
    estimate_sae(folder / "estimates", moments, str(folder / "out"), QUICK["resamples"], 0.95, 0)
    return read_json(folder / "estimates" / "estimates.json")


def test_gives_the_numbers_of_the_stage_to_the_last_bit(tmp_path, expected):
    result = stage(tmp_path, TopK(X))
    assert expected.estimates == result["estimates"]
    assert (expected.l0, expected.dead_latents) == (result["l0"], result["dead_latents"])


def test_defaults_are_those_of_the_default_profile():
    assert DEFAULTS.model_dump() == yaml.safe_load((ROOT / "params.yaml").read_text())["decomposition"]


FORMS = {
    "tensor": lambda folder: {"activations": torch.from_numpy(X)},
    "float64": lambda folder: {"activations": X.astype(np.float64)},
    "memory map": lambda folder: {"activations": np.load(saved(folder), mmap_mode="r")},
    "path": lambda folder: {"activations": saved(folder)},
    "iterator": lambda folder: {"activations": (torch.from_numpy(context) for context in X)},
    "flat": lambda folder: {"activations": FLAT, "context_length": POSITIONS},
    "flat with ids": lambda folder: {  # one row of each context after the other
        "activations": X.swapaxes(0, 1).reshape(FLAT.shape),
        "context_ids": np.tile(np.arange(CONTEXTS) + 7, POSITIONS),
    },
    "first contexts": lambda folder: {"activations": np.concatenate([X, X + 1]), "contexts": CONTEXTS},
}


def saved(folder):
    np.save(folder / "x.npy", X)
    return folder / "x.npy"


@pytest.mark.parametrize("form", FORMS)
def test_the_form_of_the_activations_does_not_matter(tmp_path, expected, form):
    assert decompose(sae=TopK(X), **FORMS[form](tmp_path), **QUICK).to_json() == expected.to_json()


def test_a_file_is_used_where_it_stands_and_a_part_of_it_is_not(tmp_path):
    whole = np.load(saved(tmp_path), mmap_mode="r")
    assert np.shares_memory(store(whole, tmp_path / "copy.npy").rows, whole)
    assert not (tmp_path / "copy.npy").exists()
    for part in (whole[:5], whole[::-1], whole[:, :, ::-1]):
        grid = store(part, tmp_path / "copy.npy")
        assert np.array_equal(np.stack(list(grid)), part) and not np.shares_memory(grid.rows, whole)
    assert np.array_equal(np.stack(list(store(whole, tmp_path / "copy.npy", contexts=5))), whole[:5])


def close(result, expected):
    """Every value; ends of intervals jump where rounding moves one of a hundred resamples past the value."""
    if "value" in expected:
        return result["value"] == pytest.approx(expected["value"], rel=1e-5, abs=1e-6)
    return result.keys() == expected.keys() and all(close(result[key], expected[key]) for key in expected)


@pytest.mark.parametrize("form", ["array", "file", "flat file"])
def test_the_files_of_a_model_in_bfloat16_are_no_whole_numbers(tmp_path, form):
    x = make_activations()
    np.save(tmp_path / "x.npy", narrowed(x if form != "flat file" else x.reshape(-1, D_MODEL)))
    given = np.load(tmp_path / "x.npy") if form == "array" else tmp_path / "x.npy"
    cut = {"context_length": POSITIONS} if form == "flat file" else {}
    result = np.stack(list(store(given, tmp_path / "stored.npy", **cut)))
    assert result.dtype == np.float32 and np.array_equal(result, widened(narrowed(x)))
    np.testing.assert_allclose(result, x, rtol=2**-8)


def test_a_pair_of_functions_does_as_well_as_an_object(expected):
    sae = TopK(X).requires_grad_(False)
    result = decompose(X, (sae.encode, lambda acts: sae.decode(acts).numpy()), **QUICK)
    assert close(result.estimates, expected.estimates)
    assert (result.l0, result.d_sae, result.dead_latents) == (expected.l0, D_SAE, expected.dead_latents)


@pytest.mark.parametrize("kind", [Nonlinear, Stateful])
def test_a_decoder_that_is_not_linear_in_the_codes(kind):
    sae = kind(X).requires_grad_(False)
    flat = torch.from_numpy(FLAT)
    output = sae.decode(sae.encode(flat))
    result = decompose(X, sae, folds=5, threads=1, resamples=100)
    splits = draw_splits(CONTEXTS, POSITIONS, DEFAULTS.fit_share, 5, 0)
    for split in ("token", "context"):
        dense = reference(flat.double().numpy(), output.double().numpy(), splits, split, "paper")
        for name in ("fvu", "fvu_nonlinear", "vector_r2", "norm_r2"):
            assert result.estimate(name, split)["value"] == pytest.approx(dense[name], abs=1e-5), name
    given = decompose(X, reconstructions=output.reshape(X.shape), folds=5, threads=1, resamples=100)
    assert close(given.estimates, result.estimates)
    assert (given.l0, given.d_sae, given.dead_latents) == (None, None, None)
    with_both = decompose(X, sae, reconstructions=output.reshape(X.shape), folds=5, threads=1, resamples=100)
    assert with_both.estimates == given.estimates and with_both.l0 == result.l0


@pytest.mark.parametrize(
    "given",
    [
        {"sae": TopK(X)},
        {"sae": Nonlinear(X)},
        {"sae": TopK(X), "reconstructions": 0.9 * X},
        {"sae": {"one": TopK(X), "other": Nonlinear(X)}},
    ],
)
def test_the_bar_is_full_when_the_work_is_done(monkeypatch, given):
    bars = []
    monkeypatch.setattr("darkmatter.api.split_error.Progress", lambda *a: bars.append(Progress(*a)) or bars[0])
    decompose(X, **given, **QUICK)
    assert bars[0].left == []


def test_an_sae_is_left_as_it_was():
    sae = TopK(X)
    sae.hook_z_reshaping_mode, said = True, []
    sae.turn_off_forward_pass_hook_z_reshaping = lambda: said.append("off")
    sae.turn_on_forward_pass_hook_z_reshaping = lambda: said.append("on")
    decompose(X, sae, **QUICK)
    assert said == ["off", "on"] and sae.training


def test_result_is_frozen_and_says_what_was_found(expected):
    with pytest.raises(dataclasses.FrozenInstanceError):
        expected.rows = 1
    assert json.loads(expected.to_json())["estimates"] == expected.estimates
    fvu = expected.estimate("fvu", "context")
    (line,) = (line for line in str(expected).splitlines() if line.startswith("FVU "))
    assert line.endswith(f"  {fvu['value']:.4f} ({fvu['low']:.4f} to {fvu['high']:.4f})")
    assert "12 contexts are few" in str(expected) and f"L0 {expected.l0:.2f} of 32 latents" in str(expected)
    assert "no intercept" in expected.table("authors")


def bad(value):
    x = X.copy()
    x[3, 2, 1] = value
    return x


class Fixed(TopK):
    def __init__(self, **facts):
        super().__init__(X)
        self.cfg = SimpleNamespace(**facts)


class Noisy(TopK):
    def encode(self, x):
        return super().encode(x + torch.randn_like(x))


class Listing(TopK):
    def encode(self, x):
        return [super().encode(x)]


ERRORS = {
    "another d_model": ({"sae": Fixed(d_in=7)}, "d_model 7, the activations 10"),
    "scale": ({"sae": Fixed(normalize_activations="expected_average_only_in")}, "fold_activation_norm_scaling_factor"),
    "no sae": ({"sae": None}, "give an SAE"),
    "no encode": ({"sae": torch.nn.Linear(2, 2)}, "needs `encode` and `decode`"),
    "cannot encode": ({"sae": (lambda x: x @ torch.ones(7, 3), lambda acts: acts)}, r"rows \[2, 10\] \(RuntimeError"),
    "decodes to others": ({"sae": (lambda x: x, lambda acts: acts[:, :3])}, "must rebuild them"),
    "a list": ({"sae": Listing(X)}, "returned list, not one tensor"),
    "noise": ({"sae": Noisy(X)}, "second time"),
    "explains nothing": ({"sae": (lambda x: x.relu(), lambda acts: 100 * acts)}, "FVU .* on 720 rows.*normalisation"),
    "infinite": ({"activations": bad(np.inf)}, "context 3 holds a NaN or an infinity"),
    "overflow": ({"activations": bad(0).astype(np.float64) * 1e300}, "NaN or an infinity"),
    "few contexts": ({"activations": X[:4]}, "4 contexts are too few"),
    "few rows": ({"activations": X[:, :1]}, "12 rows of 12 contexts are too few for d_model = 10.*Take at least"),
    "heads": ({"activations": X[..., None]}, "hook_z"),
    "one row": ({"activations": X[0, 0]}, "not .context, position, d_model"),
    "flat": ({"activations": FLAT}, "which rows belong to one context"),
    "ids": ({"activations": FLAT, "context_ids": np.arange(7)}, "720 rows"),
    "length": ({"activations": FLAT, "context_length": 61}, "not whole contexts of 61"),
    "another width": ({"activations": iter([X[0], X[1, :, :5]])}, r"context 1 is \[60, 5\], the first has d_model 10"),
    "no context": ({"activations": iter([])}, "there is no context"),
    "no file": ({"activations": "nowhere.npy"}, "nowhere.npy does not exist"),
    "sparse": ({"activations": torch.from_numpy(X).to_sparse()}, "x.to_dense"),
    "sparse rows": ({"activations": torch.from_numpy(FLAT).to_sparse(), "context_length": 60}, "x.to_dense"),
    "masked array": ({"activations": np.ma.masked_greater(X, 0)}, "mask=~numpy.ma.getmaskarray"),
    "list of rows": ({"activations": list(FLAT), "context_length": 60}, "list is taken as contexts.*numpy.asarray"),
    "text": ({"activations": X.astype(str)}, "not numbers"),
    "other rows": ({"reconstructions": X[:, :5]}, r"reconstructions are \[12, 5, 10\]"),
    "poor rows": ({"sae": None, "reconstructions": -X}, "FVU"),
    "level": ({"level": 2.0}, "level = 2.0"),
}


@pytest.mark.parametrize("case", ERRORS)
def test_what_cannot_be_decomposed_is_refused_before_the_work(monkeypatch, case):
    monkeypatch.setattr("darkmatter.api.one_sae.write_moments", lambda *a, **k: pytest.fail("the work had begun"))
    changed, message = ERRORS[case]
    with pytest.raises(ArtifactError, match=message):
        decompose(**{"activations": X, "sae": TopK(X), **QUICK, **changed})


def test_importing_darkmatter_is_quick_and_makes_no_stage_depend_on_the_api():
    assert not direct_imports(ROOT / "darkmatter" / "__init__.py")
    command = "import darkmatter.cli, sys; sys.exit('torch' in sys.modules or 'scipy' in sys.modules)"
    subprocess.run([sys.executable, "-c", command], cwd=ROOT, check=True)
