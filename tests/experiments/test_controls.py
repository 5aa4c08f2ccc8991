"""The controls: theorems in the limit without noise, dense references, and twins in which a control must fail."""

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from darkmatter.experiments.controls.compute import (
    FEATURES,
    leverages,
    on_activations,
    on_features,
    planted,
    random_direction,
    sae_errors,
    shuffled,
)
from darkmatter.experiments.controls.estimates import TARGETS, Control, Fit, check, control_list
from darkmatter.experiments.controls.facts import feature_r2, scaling_points, scaling_starts
from darkmatter.experiments.controls.results import kept
from darkmatter.regression.held_out_regression import regress
from darkmatter.regression.splits import SPLITS, draw_splits
from darkmatter.storage.artifacts import ArtifactError, read_arrays, write_arrays, write_json

BOOTSTRAP = {"resamples": 200, "level": 0.95, "seed": 0}
CONTEXTS, POSITIONS, D_MODEL = 12, 60, 5
SPLIT = {"fit_share": 0.6, "folds": 3, "split_seed": 0}
ONE = np.ones((1, CONTEXTS))
KEPT = np.ones((CONTEXTS, POSITIONS), bool)


def activations(seed=0):
    random = np.random.default_rng(seed)
    mixed = random.standard_normal((CONTEXTS, POSITIONS, D_MODEL)) @ random.standard_normal((D_MODEL, D_MODEL))
    return (mixed + random.standard_normal((CONTEXTS, 1, D_MODEL)) + 3).astype(np.float32)


def value(fit, statistic):
    return float(statistic(np.ones((1, len(fit.used))))[0])


def sums_of(x, vectors):
    splits = draw_splits(*x.shape[:2], **{"fit_share": 0.6, "folds": 3, "seed": 0})

    def rows(context):
        return torch.from_numpy(x[context]), vectors(context)

    result = regress(rows, splits, 1e-12)
    ranks = {f"rank/{name}": np.array(rank) for name, rank in result.rank.items()}
    return result.sums | ranks | {"leverage": leverages(rows, splits, 1e-12)}, splits


@pytest.mark.parametrize("split", SPLITS)
def test_leverage_is_the_diagonal_of_the_dense_hat_matrix(split):
    x = activations()
    arrays, splits = sums_of(x, lambda context: torch.zeros(POSITIONS, 1))
    fitted = splits.fits_on(split)
    design = np.concatenate([np.ones((CONTEXTS, POSITIONS, 1)), x], -1)
    inverse = np.linalg.inv(design[fitted].T @ design[fitted])
    h = np.einsum("cpi,ij,cpj->cp", design, inverse, design)
    expected = np.where(fitted, 0, h).sum(1)
    np.testing.assert_allclose(arrays["leverage"][SPLITS.index(split)], expected, rtol=1e-9)


def test_a_planted_share_of_one_is_found_exactly_without_noise():
    arrays, _ = sums_of(activations(), planted(activations(), KEPT, [1.0], 0))
    for split in SPLITS:
        fit = Fit(kept(arrays, slice(None)), split)
        assert value(fit, fit.r2) == pytest.approx(1, abs=1e-12)
        assert value(fit, fit.share) == pytest.approx(1, abs=1e-12)


def test_planted_shares_have_unit_variance_and_their_share_of_it():
    x = activations()
    whole = torch.stack([planted(x, KEPT, [0.0, 0.3, 1.0], 0)(context) for context in range(CONTEXTS)]).flatten(0, 1)
    noise, mixed, linear = whole.split(D_MODEL, 1)
    np.testing.assert_allclose(linear.square().mean(0), 1, rtol=1e-9)
    np.testing.assert_allclose(mixed, 0.3**0.5 * linear + 0.7**0.5 * noise, atol=1e-12)
    assert noise.var() == pytest.approx(1, abs=0.05)


@pytest.mark.parametrize("true", [0.0, 0.4, 0.8])
def test_share_gives_back_what_the_fit_costs(true):
    """Averaged over draws R² lies below the planted share by (1 − s) h̄, and the share found does not."""
    x = activations()[:, :20]  # few rows, so that fitting costs much
    r2, share = [], []
    for seed in range(30):
        arrays, _ = sums_of(x, planted(x, np.ones(x.shape[:2], bool), [true], seed))
        fit = Fit(kept(arrays, slice(None)), "token")
        r2.append(value(fit, fit.r2))
        share.append(value(fit, fit.share))
    error = np.std(share) / len(share) ** 0.5
    assert abs(np.mean(share) - true) < 4 * error
    assert np.mean(r2) < np.mean(share) - 0.01 * (1 - true)


def test_shuffling_keeps_every_error_and_breaks_its_row():
    errors = torch.from_numpy(activations(1))
    vectors = shuffled(errors, KEPT, 0)
    moved = torch.stack([vectors(context) for context in range(CONTEXTS)])
    assert not torch.equal(moved, errors)
    order = lambda rows: rows.flatten(0, 1)[rows.flatten(0, 1)[:, 0].argsort()]  # noqa: E731
    assert torch.equal(order(moved), order(errors))
    from_another_context = [(moved[0] == row).all(1).any() for row in errors[1:].flatten(0, 1)]
    assert any(from_another_context)


def test_random_directions_keep_the_norm_and_no_direction():
    errors = torch.from_numpy(activations(1))
    vectors = random_direction(errors, KEPT, 0)(2)
    np.testing.assert_allclose(vectors.norm(dim=1), errors[2].double().norm(dim=1), rtol=1e-9)
    cosine = torch.nn.functional.cosine_similarity(vectors, errors[2].double())
    assert abs(cosine.mean()) < 4 / (POSITIONS * D_MODEL) ** 0.5
    assert torch.equal(vectors, random_direction(errors, KEPT, 0)(2))


@pytest.fixture
def sae(tmp_path):
    """A folder with activations, and an SAE whose error is a linear map of x: one latent that never fires."""
    np.save(tmp_path / "x.npy", activations())
    rows = CONTEXTS * POSITIONS
    codes = {"index": np.zeros((rows, 1), np.int32), "value": np.zeros((rows, 1), np.float32)}
    write_arrays(tmp_path / "codes.npz", codes | {"l0": np.zeros(rows, np.int32)})
    make_sae(tmp_path / "sae", D_MODEL)
    return {
        name: f"{tmp_path / file}" for name, file in (("activations", "x.npy"), ("codes", "codes.npz"), ("sae", "sae"))
    }


def make_sae(folder, d_model):
    folder.mkdir()
    save_file(
        {"W_dec": torch.ones(2, d_model), "b_dec": torch.full((d_model,), 0.5)}, folder / "sae_weights.safetensors"
    )
    write_json(folder / "cfg.json", {"d_sae": 2, "d_in": d_model})


def run_control(control, files, out, **changes):
    out.mkdir()
    options = {"shares": [0.0, 0.5], "contexts": CONTEXTS, "seed": 0, "eigen_cutoff": 1e-12, **SPLIT}
    on_activations(out=out, control=control, **files, **(options | changes))
    return {path.stem: read_arrays(path) for path in out.glob("*.npz")}


def test_errors_are_activations_minus_reconstructions(sae):
    result = sae_errors(activations(), sae["codes"], sae["sae"], CONTEXTS)
    np.testing.assert_allclose(result.numpy(), activations() - 0.5)


def test_an_sae_of_another_width_is_refused(sae, tmp_path):
    make_sae(tmp_path / "other", D_MODEL + 1)
    with pytest.raises(ArtifactError, match="decodes to 6 dimensions"):
        run_control("error", sae | {"sae": f"{tmp_path / 'other'}"}, tmp_path / "out")


def test_too_few_rows_are_refused(sae, tmp_path):
    with pytest.raises(ArtifactError, match="needs more than"):
        run_control("error", sae, tmp_path / "out", contexts=3, fit_share=0.01)


def test_whole_table_on_an_error_that_is_linear(sae, tmp_path):
    sums = {}
    for control in ("error", "shuffled", "random-direction", "planted"):
        sums |= run_control(control, sae, tmp_path / control)
    for weights in FEATURES:
        (tmp_path / weights).mkdir()
        chosen = {"features": 4, "probability": 0.3, "contexts": CONTEXTS, "positions": 200, "seed": 0}
        on_features(out=tmp_path / weights, weights=weights, eigen_cutoff=1e-12, **chosen, **SPLIT)
        sums |= {path.stem: read_arrays(path) for path in (tmp_path / weights).glob("*.npz")}
    controls = control_list([0.0, 0.5], feature_r2(0.3))
    table = check(controls, {c.sums: kept(sums[c.source], TARGETS[c.target]) for c in controls}, BOOTSTRAP)
    rows = {row["id"]: row for row in table["controls"]}
    assert table["checks"] == len(rows) == 11
    assert rows["error-vector"]["token"]["found"]["value"] == pytest.approx(1)  # x − 0.5 is linear in x
    assert rows["features-bernoulli"]["token"]["found"]["value"] == pytest.approx(1)
    assert [name for name, row in rows.items() if row["token"]["holds"] is not True] == []
    real, random = (rows[f"{name}-norm"]["token"]["r2"]["value"] for name in ("error", "random-direction"))
    assert random == pytest.approx(real, abs=1e-4)


@pytest.mark.parametrize(
    ("relation", "known", "low", "high", "holds"),
    [
        ("equals", 0.5, 0.4, 0.6, True),
        ("equals", 0.7, 0.4, 0.6, False),
        ("equals", 1.0, 1 - 1e-12, 1 - 1e-12, True),
        ("at most", 0.0, -0.1, 0.1, True),
        ("at most", 0.0, -0.2, -0.1, True),
        ("at most", 0.0, 0.1, 0.2, False),
        ("above", 0.0, 0.1, 0.2, True),
        ("above", 0.0, -0.1, 0.2, False),
    ],
)
def test_relations(relation, known, low, high, holds):
    control = Control("a", "text", "source", "vector", relation, known)
    result = {"value": (low + high) / 2, "low": low, "high": high}
    assert control.holds(result, known) is holds
    assert control.holds({"value": None, "low": None, "high": None}, known) is None


def test_controls_can_fail():
    """A wrong share and a predictable error are found out."""
    x = activations()
    arrays, _ = sums_of(x, planted(x, KEPT, [0.5], 0))
    controls = [
        Control("wrong-share", "", "planted", "all", "equals", 0.9),
        Control("no-null", "", "planted", "all", "at most", 0.0),
    ]
    rows = check(controls, {"planted/all": kept(arrays, TARGETS["all"])}, BOOTSTRAP)["controls"]
    assert [row[split]["holds"] for row in rows for split in SPLITS] == [False] * 4


def test_exact_values_of_the_features():
    result = feature_r2(0.05)
    assert result["bernoulli"] == 1
    rate = 0.05
    assert result["poisson"] == pytest.approx((2 * rate + 1) ** 2 / (4 * rate**2 + 6 * rate + 1))
    assert result["exponential"] == pytest.approx(0.75, abs=0.001)
    random = np.random.default_rng(0)
    w = (random.random(10**6) < rate) * random.exponential(size=10**6)
    assert np.corrcoef(w, w**2)[0, 1] ** 2 == pytest.approx(result["exponential"], abs=0.02)


def test_scaling_starts_without_enough_widths_say_why():
    from fake_results import fake_results
    from profiles import profile_params

    params = profile_params("smoke")
    run = fake_results(params).decomposition[params.figures.main_hookpoint]
    result = scaling_starts(**scaling_points(run, params), params=params)
    assert result["starts"] == sum(ending["starts"] for ending in result["endings"]) == params.figures.power_law_starts
    run["saes"] = [sae for sae in run["saes"] if sae["d_sae"] < 100]
    result = scaling_starts(**scaling_points(run, params), params=params)
    assert result["holds"] is None and result["reason"].startswith("2 widths of widths")
