"""Baselines of the norm prediction, against dense least squares on one-hot tokens and by hand."""

import numpy as np
import pytest
from profiles import profile_params

from darkmatter.experiments.norm_baselines.compute import baselines, check_rows, seen_rows
from darkmatter.experiments.norm_baselines.compute import token_means as means_of_seen
from darkmatter.experiments.norm_baselines.estimates import (
    ACTIVATION,
    ACTIVATION_SEEN,
    COMPARED,
    SEEN,
    TARGETS,
    Baseline,
    SaeBaselines,
    results,
    sae_estimates,
)
from darkmatter.experiments.norm_baselines.results import measured as stored_saes
from darkmatter.ledger.estimands.evidence import EVERY_ROW
from darkmatter.regression.splits import ROW_SETS, SPLITS, draw_splits
from darkmatter.storage.artifacts import ArtifactError

BOOTSTRAP = {"resamples": 100, "level": 0.95, "seed": 0}
CONTEXTS, POSITIONS = 9, 30
SPLIT = draw_splits(CONTEXTS, POSITIONS, 0.6, 3, 0)
SHAPE = (CONTEXTS, POSITIONS)


def random(seed):
    return np.random.default_rng(seed)


def table(**columns):
    gamma = random(1).gamma(2.0, size=SHAPE)
    content = {"error": gamma, "x": 4 * gamma, "norm_x": 2 * np.sqrt(gamma), "l0": np.full(SHAPE, 32.0)}
    return {name: column.astype(np.float32) for name, column in (content | columns).items()}


IDS = random(2).integers(12, size=SHAPE) * 1000
LOSS = random(3).gamma(2.0, size=SHAPE).astype(np.float32)


X = random(7).standard_normal((*SHAPE, 4)).astype(np.float32)


def token_means(ids, target, splits):
    return means_of_seen(ids, target, seen_rows(ids, splits), splits)


def measure(content, ids=IDS, loss=LOSS, x=X):
    return baselines(content, x, ids, loss, SPLIT, 1e-12)


def r2(y, prediction):
    return 1 - np.sum((y - prediction) ** 2) / np.sum((y - y.mean()) ** 2)


def number(baseline, split, convention="paper"):
    scored = baseline.scored(split, convention)
    return float(scored.r2(np.ones((1, len(scored.rows))), np.arange(len(scored.rows)))[0])


@pytest.mark.parametrize("split", SPLITS)
def test_token_identity_is_least_squares_on_one_hot_tokens(split):
    y = random(4).gamma(2.0, size=SHAPE) + IDS / 3000
    fitted = SPLIT.fits_on(split)
    one_hot = (IDS[..., None] == np.unique(IDS)).astype(float)
    weight = np.linalg.lstsq(one_hot[fitted], y[fitted], rcond=None)[0]
    result = token_means(IDS, y, SPLIT)
    assert number(result["token_identity"], split) == pytest.approx(r2(y[~fitted], one_hot[~fitted] @ weight))
    assert number(result[SEEN], split) == pytest.approx(number(result["token_identity"], split))
    everything = np.linalg.lstsq(one_hot.reshape(-1, 12), y.ravel(), rcond=None)[0]
    in_sample = r2(y.ravel(), one_hot.reshape(-1, 12) @ everything)
    assert number(result["token_identity"], split, "authors") == pytest.approx(in_sample)
    assert result["token_identity"].rank[split] == 11


def test_unseen_tokens_get_the_grand_mean_and_are_left_out_of_the_seen_rows():
    ids = np.arange(CONTEXTS * POSITIONS).reshape(SHAPE)  # every token once: all held-out rows are unseen
    y = random(5).gamma(2.0, size=SHAPE)
    result = token_means(ids, y, SPLIT)
    fitted = SPLIT.token_fit
    expected = r2(y[~fitted], y[fitted].mean())
    assert number(result["token_identity"], "token") == pytest.approx(expected)
    assert expected <= 0
    assert number(result["token_identity"], "token", "authors") == pytest.approx(1)
    assert result[SEEN].sums["rows"][ROW_SETS.index("token")].sum() == 0
    ids[:, ::2] = 7
    result = token_means(ids, y, SPLIT)[SEEN]
    seen = ~fitted & (ids == 7)
    assert result.sums["rows"][ROW_SETS.index("token")].sum() == seen.sum()
    assert number(result, "token") == pytest.approx(r2(y[seen], y[fitted & (ids == 7)].mean()))


@pytest.mark.parametrize("split", SPLITS)
def test_numbers_per_token_equal_dense_least_squares(split):
    content = table(l0=random(6).integers(20, 30, size=SHAPE))
    result = measure(content)["square"]
    y, fitted = content["error"].astype(float), SPLIT.fits_on(split)
    columns = {"activation_norm": content["norm_x"], "model_loss": LOSS, "l0": content["l0"]}
    columns["activation_norm_squared"] = content["x"]
    for name, column in columns.items():
        slope, constant = np.polyfit(column[fitted].astype(float), y[fitted], 1)
        assert number(result[name], split) == pytest.approx(
            r2(y[~fitted], slope * column[~fitted] + constant), abs=1e-9
        )
    assert number(result["activation_norm_squared"], split) == pytest.approx(1, abs=1e-9)
    assert number(result["activation_norm"], split) < 0.99


@pytest.mark.parametrize("split", SPLITS)
@pytest.mark.parametrize("target", TARGETS)
def test_the_activation_and_its_score_on_tokens_that_were_met_equal_dense_least_squares(split, target):
    ids = np.where(random(8).random(SHAPE) < 0.3, np.arange(CONTEXTS * POSITIONS).reshape(SHAPE) + 100, IDS)
    content = table(error=random(1).gamma(2.0, size=SHAPE) + X[..., 0] ** 2 + X[..., 1] + 5)
    result = measure(content, ids)[target]
    y = content["error"].astype(float) ** (0.5 if target == "norm" else 1.0)
    fitted = SPLIT.fits_on(split)
    design = np.concatenate([X, np.ones((*SHAPE, 1))], -1).astype(float)
    predicted = design @ np.linalg.lstsq(design[fitted], y[fitted], rcond=None)[0]
    seen = ~fitted & np.isin(ids, ids[fitted])
    assert 0 < seen.sum() < (~fitted).sum()
    assert number(result[ACTIVATION], split) == pytest.approx(r2(y[~fitted], predicted[~fitted]), abs=1e-6)
    assert number(result[ACTIVATION_SEEN], split) == pytest.approx(r2(y[seen], predicted[seen]), abs=1e-6)
    own = np.array([y[fitted & (ids == token)].mean() for token in ids[seen]])
    assert number(result[SEEN], split) == pytest.approx(r2(y[seen], own), abs=1e-6)


def decomposed(left):
    """The activation with these residuals."""
    content = table()
    y = content["error"] - content["error"].mean()
    sets = SPLIT.row_sets()
    sums = {"total": (sets * y).sum(-1)[..., None], "square": (sets * y**2).sum(-1)[..., None]}
    sums |= {f"residual/{split}/paper": (sets * left**2).sum(-1)[..., None] for split in SPLITS}
    return Baseline({"rows": sets.sum(-1).astype(float)} | sums, {"token": 3, "context": 3, "all": 3})


def measured(hookpoint, left, ids=IDS):
    result = measure(table(), ids)
    for own in result.values():
        own |= {ACTIVATION: decomposed(left), ACTIVATION_SEEN: decomposed(left)}
    return SaeBaselines({"name": "a", "hookpoint": hookpoint}, int(hookpoint.rsplit(".", 1)[1]), result)


def test_constant_l0_is_null_with_its_reason_and_so_is_what_needs_it():
    result = sae_estimates(measured("resid_post.0", 0.5).regressors["norm"], "token", "paper", BOOTSTRAP)
    assert result["r2"]["l0"]["value"] is None
    assert result["r2"]["l0"]["reason"] == "it is 32 on every token: no variance"
    assert result["activation_minus"]["l0"]["value"] is None
    seen = result["r2"][ACTIVATION_SEEN]["value"] - result["r2"][SEEN]["value"]
    assert result["activation_minus"][SEEN]["value"] == pytest.approx(seen)
    for name in ("token_identity", "activation_norm", "model_loss"):
        expected = result["r2"]["activation"]["value"] - result["r2"][name]["value"]
        assert result["activation_minus"][name]["value"] == pytest.approx(expected)


def test_estimands_average_the_second_half_of_depth_and_look_at_the_first_layer():
    saes = [measured("resid_post.0", 1.2), measured("resid_post.2", 0.4), measured("resid_post.3", 0.2)]
    result = results(saes, 4, BOOTSTRAP)
    assert result["second_half"] == ["resid_post.2", "resid_post.3"]
    assert result["first_layer"] == ["resid_post.0"]
    rows = [sae["estimates_of_square"]["token"]["paper"] for sae in result["saes"]]
    components = result["estimands"]["norm_baseline_differences"]
    assert set(components) == {*COMPARED, "first_layer"}
    for name in ("token_identity", "activation_norm", "model_loss"):
        expected = np.mean([row["activation_minus"][name]["value"] for row in rows[1:]])
        assert components[name]["value"] == pytest.approx(expected)
    assert components["l0"]["reason"].startswith("resid_post.2: it is 32")
    assert components["first_layer"]["value"] == pytest.approx(-rows[0]["activation_minus"]["token_identity"]["value"])
    fitted = [one for one in components.values() if one["value"] is not None]
    assert {one["level"] for one in fitted} == {BOOTSTRAP["level"]} and len(fitted) == 4  # l0 is null
    assert {one["joint"]["level"] for one in fitted} == {1 - (1 - BOOTSTRAP["level"]) / 4}
    assert all(one["joint"]["low"] < one["low"] and one["high"] < one["joint"]["high"] for one in fitted)
    in_sample = result["estimands_by_variant"]["token"]["authors"]["norm_baseline_differences"]["first_layer"]
    assert in_sample["value"] > components["first_layer"]["value"]


def test_the_order_is_that_of_the_norm_on_tokens_that_were_met():
    ids = np.where(random(8).random(SHAPE) < 0.3, np.arange(CONTEXTS * POSITIONS).reshape(SHAPE) + 100, IDS)
    result = results([measured("resid_post.0", 1.2, ids), measured("resid_post.3", 0.2, ids)], 4, BOOTSTRAP)
    for target, name in (("norm", "estimates"), ("square", "estimates_of_square")):
        first, last = (sae[name]["token"]["paper"]["activation_minus"] for sae in result["saes"])
        prefix = "" if target == "norm" else "square_"
        order = result["estimands"]["norm_baseline_order"]
        assert order[f"{prefix}first_layer"]["value"] == pytest.approx(-first[SEEN]["value"])
        assert order[f"{prefix}token_identity"]["value"] == pytest.approx(last[SEEN]["value"])
        assert order[f"{prefix}model_loss"]["value"] == pytest.approx(last["model_loss"]["value"])
    variant = result["estimands_by_variant"][str(EVERY_ROW)]["norm_baseline_order"]
    first, last = (sae["estimates"]["token"]["paper"]["activation_minus"] for sae in result["saes"])
    assert variant["first_layer"]["value"] == pytest.approx(-first["token_identity"]["value"])
    for name in ("token_identity", "model_loss"):
        assert variant[name]["value"] == pytest.approx(last[name]["value"])
    assert variant["token_identity"]["value"] != order["token_identity"]["value"]
    assert variant.keys() == {*COMPARED, "first_layer"} and set(variant) < set(order)


def test_another_seed_moves_each_layers_difference():
    saes = [measured("resid_post.0", 1.2), measured("resid_post.2", 0.4), measured("resid_post.3", 0.2)]
    twins = [measured("resid_post.2", 0.4), measured("resid_post.2", 0.5)]
    result = results(saes, 4, BOOTSTRAP, [twins])["estimands"]
    one, other = (
        sae_estimates(sae.regressors["norm"], "token", "paper", BOOTSTRAP)["activation_minus"] for sae in twins
    )
    order = result["norm_baseline_order"]
    for name in ("activation_norm", "model_loss"):
        own = abs(one[name]["value"] - other[name]["value"]) / 2**0.5  # two layers halve its variance
        assert order[name]["of_seed"] == {"deviation": pytest.approx(own / 2**0.5), "freedom": 1}
    own = abs(one[SEEN]["value"] - other[SEEN]["value"]) / 2**0.5
    assert order["first_layer"]["of_seed"]["deviation"] == pytest.approx(own)
    assert "of_seed" not in order["l0"]
    assert (
        "of_seed"
        in results(saes, 4, BOOTSTRAP, [twins])["estimands_by_variant"][str(EVERY_ROW)]["norm_baseline_order"][
            "model_loss"
        ]
    )
    assert "of_seed" not in results(saes, 4, BOOTSTRAP)["estimands"]["norm_baseline_order"]["model_loss"]


def test_twins_are_measured_once_with_the_groups():
    params = profile_params("smollm2")
    names = [spec.path for spec in stored_saes(params)]
    assert len(names) == len(set(names)) == 7 + 2
    assert names[-2:] == ["resid_post.14/widths-2048-k32-s0", "resid_post.14/seeds-2048-k32-s1"]


def test_no_layer_in_the_second_half_is_a_null():
    result = results([measured("resid_post.0", 0.5)], 10, BOOTSTRAP)
    assert result["estimands"]["norm_baseline_differences"]["model_loss"]["reason"].startswith("no SAE of the group")


def test_zero_variance_target_is_null():
    content = table(error=np.full(SHAPE, 3.0))
    result = sae_estimates(measure(content)["norm"], "token", "paper", BOOTSTRAP)
    assert result["r2"]["model_loss"]["reason"] == "the target has no variance"
    assert result["r2"]["token_identity"]["value"] is None


def test_rows_of_another_run_are_refused():
    with pytest.raises(
        ArtifactError, match=r"the rows differ \(loss \[9, 30\], activations \[9, 29\]\); run `dvc repro"
    ):
        check_rows(loss=LOSS.shape, activations=X[:, 1:].shape[:2])
    check_rows(loss=LOSS.shape, activations=X.shape[:2])
