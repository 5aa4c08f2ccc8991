"""The streamed decomposition against a naive dense one, and its limiting cases."""

import numpy as np
import pytest
from decomposition_case import BOOTSTRAP, CONTEXTS, D_MODEL, D_SAE, POSITIONS, SPLIT, K, make_case
from decomposition_reference import reference, reference_cross_fit
from safetensors.numpy import save_file

from darkmatter.decomposition.passes import decompose
from darkmatter.decomposition.results import kept_sums, regressions
from darkmatter.decomposition.shared_moments import prepare
from darkmatter.regression.splits import draw_splits
from darkmatter.saes.decoder import load_decoder
from darkmatter.statistics.sae_estimates import hookpoint_sums, sae_estimates
from darkmatter.storage.artifacts import ArtifactError, read_arrays, write_arrays


def run_case(folder, eigen_cutoff=1e-12):
    for name in ("moments", "out"):
        (folder / name).mkdir()
    x = str(folder / "x.npy")
    prepare(folder / "moments", activations=x, eigen_cutoff=eigen_cutoff, **SPLIT)
    files = {"prepared": str(folder / "moments"), "codes": str(folder / "codes.npz"), "sae": str(folder / "sae")}
    decompose(folder / "out", activations=x, **files, **SPLIT)
    shared = read_arrays(folder / "moments" / "activations.npz")
    rank = {name: int(facts["rank"]) for name, facts in regressions(shared).items()}
    return sae_estimates(hookpoint_sums(shared, rank, BOOTSTRAP), read_arrays(folder / "out" / "sums.npz"))


def values(estimates):
    return {k: values(v) if "value" not in v else v["value"] for k, v in estimates.items()}


def tolerance(name):
    """R² and FVU to 1e-9. Mean norms and cosines show the rounding of the float32 error vectors themselves."""
    return (
        {"rel": 1e-6}
        if name in {"norm_ratio", "cos_linear_x", "linear_norm_sq", "nonlinear_norm_sq"}
        else {"abs": 1e-9}
    )


def test_a_latent_that_fires_negatively_has_fired(tmp_path):
    """Codes and decoder with their signs changed are the same SAE."""
    for name, sign in (("positive", 1), ("negative", -1)):
        (tmp_path / name).mkdir()
        make_case(tmp_path / name)
        codes = read_arrays(tmp_path / name / "codes.npz")
        write_arrays(tmp_path / name / "codes.npz", codes | {"value": sign * codes["value"]})
        decoder = load_decoder(tmp_path / name / "sae")
        weights = {"W_dec": sign * decoder.W_dec.numpy(), "b_dec": decoder.b_dec.numpy()}
        save_file(weights, tmp_path / name / "sae" / "sae_weights.safetensors")
        run_case(tmp_path / name)
    positive, negative = (read_arrays(tmp_path / name / "out" / "sums.npz") for name in ("positive", "negative"))
    assert positive["latent_fired"][0] > K
    assert all(np.array_equal(positive[name], negative[name]) for name in positive)


@pytest.fixture
def double(monkeypatch):
    """Decompose in float64 throughout, so that what is compared is the algebra and not the rounding of float32."""
    monkeypatch.setattr("darkmatter.regression.least_squares.SINGLE_PRECISION_CONDITION", 0.0)
    monkeypatch.setattr("darkmatter.decomposition.shared_moments.SINGLE_PRECISION_CONDITION", 0.0)


@pytest.mark.usefixtures("double")
@pytest.mark.parametrize("split", ["token", "context"])
@pytest.mark.parametrize("convention", ["paper", "authors"])
def test_equals_dense_least_squares(tmp_path, split, convention):
    x, sae = make_case(tmp_path)
    result = values(run_case(tmp_path))[split][convention]
    expected = reference(x, sae, draw_splits(CONTEXTS, POSITIONS, 150 / 247, 3, 0), split, convention)
    cross_fit = result.pop("norm_test_cross_fit", None)
    assert result.keys() == expected.keys()
    for name, number in expected.items():
        assert result[name] == pytest.approx(number, **tolerance(name)), name
    if convention == "paper":
        splits = draw_splits(CONTEXTS, POSITIONS, 150 / 247, 3, 0)
        assert cross_fit == pytest.approx(reference_cross_fit(x, sae, splits, POSITIONS), abs=1e-9)


@pytest.mark.usefixtures("double")
def test_linear_error_leaves_nothing(tmp_path):
    """A decoder of zeros reconstructs a constant: the whole error is linear, R² = 1 and FVU_nonlinear = 0."""
    make_case(tmp_path)
    save_file(
        {"W_dec": np.zeros((D_SAE, D_MODEL), np.float32), "b_dec": np.ones(D_MODEL, np.float32)},
        tmp_path / "sae" / "sae_weights.safetensors",
    )
    result = values(run_case(tmp_path))["token"]["paper"]
    assert result["vector_r2"] == pytest.approx(1, abs=1e-9)
    assert result["fvu_nonlinear"] == pytest.approx(0, abs=1e-9)
    assert result["norm_test"]["sae"] is None  # a constant norm has no variance: null, not a number that looks fine


def test_every_number_follows_from_what_git_keeps(tmp_path):
    make_case(tmp_path)
    expected = run_case(tmp_path)
    shared, whole = (read_arrays(tmp_path / name) for name in ("moments/activations.npz", "out/sums.npz"))
    rank = {name: int(facts["rank"]) for name, facts in regressions(shared).items()}
    kept = kept_sums(whole)
    assert sae_estimates(hookpoint_sums(shared, rank, BOOTSTRAP), kept) == expected
    numbers = [sum(int(np.isfinite(array).sum()) for array in sums.values()) for sums in (whole, kept)]
    assert numbers[0] == sum(array.size for array in whole.values()) and numbers[1] < 0.5 * numbers[0]


def test_single_precision_products_change_little(tmp_path):
    x, sae = make_case(tmp_path)
    result = values(run_case(tmp_path))["token"]["paper"]
    expected = reference(x, sae, draw_splits(CONTEXTS, POSITIONS, 150 / 247, 3, 0), "token", "paper")
    assert result["vector_r2"] == pytest.approx(expected["vector_r2"], abs=1e-6)


def test_exact_null_direction_is_not_fitted(tmp_path):
    """LayerNorm leaves an exact null direction: rank d − 1, and the same R² as without that dimension."""

    def with_null_direction(x):
        x[..., -1] = 3.0
        return x

    x, sae = make_case(tmp_path, with_null_direction)
    result = values(run_case(tmp_path))["token"]["paper"]
    splits = draw_splits(CONTEXTS, POSITIONS, 150 / 247, 3, 0)
    shared = regressions(read_arrays(tmp_path / "moments" / "activations.npz"))
    assert shared["token"]["rank"] == D_MODEL - 1
    expected = reference(x, sae, splits, "token", "paper")
    assert result["fvu_nonlinear"] == pytest.approx(expected["fvu_nonlinear"], rel=1e-5)


def test_large_means_keep_their_digits(tmp_path):
    """Two dimensions of mean 3000 and −800, as language models have: raw float32 moments lose R² altogether."""

    def with_means(x):
        x[..., 0] += 3000
        x[..., 1] -= 800
        return x

    x, sae = make_case(tmp_path, with_means)
    result = values(run_case(tmp_path))["context"]["paper"]
    expected = reference(x, sae, draw_splits(CONTEXTS, POSITIONS, 150 / 247, 3, 0), "context", "paper")
    assert result["vector_r2"] == pytest.approx(expected["vector_r2"], rel=1e-4)


def test_not_finite_is_refused(tmp_path):
    make_case(tmp_path)
    x = np.load(tmp_path / "x.npy")
    x[3, 5, 2] = np.nan
    np.save(tmp_path / "x.npy", x)
    with pytest.raises(ArtifactError, match="context 3 holds a NaN"):
        run_case(tmp_path)


def test_codes_of_other_rows_are_refused(tmp_path):
    make_case(tmp_path)
    codes = read_arrays(tmp_path / "codes.npz")
    write_arrays(tmp_path / "codes.npz", {name: array[:-1] for name, array in codes.items()})
    with pytest.raises(ArtifactError, match="719 rows"):
        run_case(tmp_path)


def test_fewer_rows_than_dimensions_are_refused(tmp_path):
    np.save(tmp_path / "x.npy", np.random.default_rng(0).standard_normal((4, 3, 40)).astype(np.float32))
    with pytest.raises(ArtifactError, match="needs more than 41 rows"):
        prepare(tmp_path, activations=str(tmp_path / "x.npy"), eigen_cutoff=1e-12, **SPLIT)
