"""Eqs. 13 and 23 for pairs of SAEs, against dense least squares and in limiting cases."""

import numpy as np
import pytest

from darkmatter.experiments.per_token_scaling.compute import REGRESSIONS, scaling_regressions, shuffled
from darkmatter.experiments.per_token_scaling.estimates import (
    EQ_13,
    EQ_23,
    GAINS,
    gain,
    pair_estimates,
    pairs_of,
    scaling_estimands,
)
from darkmatter.experiments.per_token_scaling.pair_noise import LACKING, PairNoise, with_noise
from darkmatter.regression.splits import SPLITS, draw_splits
from darkmatter.statistics.joint_levels import joint_level
from darkmatter.storage.artifacts import ArtifactError

BOOTSTRAP = {"resamples": 100, "level": 0.95, "seed": 0}
CONTEXTS, POSITIONS = 10, 40
SPLIT = draw_splits(CONTEXTS, POSITIONS, 0.6, 5, 0)
NULL_COLUMNS = ("nonlinear/token", "nonlinear/context", "nonlinear/cross-fit", "linear/token", "linear/context")


def gamma(seed):
    return np.random.default_rng(seed).gamma(3.0, size=(CONTEXTS, POSITIONS))


def table(error, seed=100):
    return {"error": error} | {name: gamma(seed + i) for i, name in enumerate(NULL_COLUMNS)}


def pair(first, second, seed=100):
    saes = [{"name": "a", "d_sae": 16, "k": 4}, {"name": "b", "d_sae": 32, "k": 4}]
    scalings = scaling_regressions(saes, {"a": table(first, seed), "b": table(second)}, SPLIT, 1e-12)
    return pairs_of(scalings)[0]


def dense_r2(columns, y, split, intercept):
    """Held-out R² by dense least squares."""
    fitted = SPLIT.fits_on(split)
    design = np.stack([*columns, np.ones_like(y)] if intercept else columns, -1)
    weight = np.linalg.lstsq(design[fitted], y[fitted], rcond=None)[0]
    held_out = y[~fitted]
    return 1 - np.sum((held_out - design[~fitted] @ weight) ** 2) / np.sum((held_out - held_out.mean()) ** 2)


@pytest.mark.parametrize("split", SPLITS)
def test_both_equations_equal_dense_least_squares(split):
    first = gamma(0)
    columns = table(first, 200)
    second = first + 0.5 * columns[f"nonlinear/{split}"] + gamma(2)
    result = pair(first, second, 200)
    for variant, (regression, convention) in EQ_23.items():
        names, squared = REGRESSIONS[regression.format(split=split)]
        shape = (lambda values: values) if squared else np.sqrt
        intercept = convention == "paper"
        both = dense_r2([shape(columns[name]) for name in names], shape(second), split, intercept)
        alone = dense_r2([shape(first)], shape(second), split, intercept)
        numbers = gain(result, split, variant, BOOTSTRAP)
        assert numbers["r2"]["value"] == pytest.approx(both, abs=1e-9)
        assert numbers["absolute"]["value"] == pytest.approx(both - alone, abs=1e-9)
        assert numbers["decrease"]["value"] == pytest.approx(1 - (1 - both) / (1 - alone), abs=1e-9)
        assert numbers["r2"]["rank"] == 2


@pytest.mark.parametrize("split", SPLITS)
def test_proportional_errors_are_predicted_exactly(split):
    result = pair_estimates(pair(gamma(0), 0.5 * gamma(0)), BOOTSTRAP)["estimates"][split]
    assert list(result) == list(EQ_13)
    assert all(number["value"] == pytest.approx(1) for number in result.values())


def test_unrelated_errors_are_not_predicted_and_a_useless_regressor_helps_nothing():
    result = pair(gamma(0), gamma(1))
    number = pair_estimates(result, BOOTSTRAP)["estimates"]["token"]["paper"]
    assert number["value"] < 0.05
    assert number["rows"] == 160
    useless = gain(result, "token", "paper", BOOTSTRAP)["decrease"]
    assert useless["value"] < 0.05
    useful = gamma(1) + gamma(200)
    assert gain(pair(gamma(1), useful, 200), "token", "paper", BOOTSTRAP)["decrease"]["value"] > 0.95


def test_intercept_helps_where_there_is_one():
    result = pair_estimates(pair(gamma(0), gamma(0) + 50), BOOTSTRAP)["estimates"]["token"]
    assert result["paper"]["value"] == pytest.approx(1)
    assert result["through_origin"]["value"] < 0


def test_paired_interval_is_narrower_than_two_unpaired_ones():
    """Both equations are scored on the same contexts, so most of their scatter is common."""
    first = gamma(0)
    second = first + 0.3 * table(first, 200)["nonlinear/token"] + 2 * gamma(3)
    number = gain(pair(first, second, 200), "token", "paper", BOOTSTRAP)["absolute"]
    one = gain(pair(first, second, 200), "token", "paper", BOOTSTRAP)["r2"]
    assert number["high"] - number["low"] < (one["high"] - one["low"]) / 2


def several(widths):
    saes = [{"name": name, "d_sae": width, "k": k} for name, width, k in widths]
    tables = {sae["name"]: table(gamma(0) + 0.2 * np.log2(sae["d_sae"]) * gamma(7), 300) for sae in saes}
    return pairs_of(scaling_regressions(saes, tables, SPLIT, 1e-12))


def test_pairs_go_from_narrow_to_wide_at_one_k():
    pairs = several([("c", 64, 4), ("a", 16, 4), ("b", 32, 4), ("b2", 32, 4), ("other", 128, 8)])
    assert [(p.names["sae_1"], p.names["sae_2"]) for p in pairs] == [
        ("a", "b"), ("a", "b2"), ("a", "c"), ("b", "c"), ("b2", "c"),
    ]  # fmt: skip


def test_estimands_follow_from_the_pairs():
    pairs = several([("a", 16, 4), ("b", 32, 4), ("c", 64, 4), ("d", 128, 4)])
    result = scaling_estimands(pairs, "token", "paper", BOOTSTRAP)
    r2 = [pair_estimates(p, BOOTSTRAP)["estimates"]["token"]["paper"]["value"] for p in pairs]
    gains = [gain(p, "token", "paper", BOOTSTRAP)["decrease"]["value"] for p in pairs]
    assert [part["value"] for part in result["per_token_scaling"]["r2"]] == pytest.approx(r2)
    assert result["per_token_scaling"]["r2"][1]["pair"] == "a to c"
    doublings = [1, 2, 3, 1, 2, 1]
    expected = np.polyfit(doublings, r2, 1)[0]
    assert result["per_token_scaling"]["distance"]["value"] == pytest.approx(expected)
    together = joint_level(BOOTSTRAP["level"], len(pairs) + 1)
    for part in (*result["per_token_scaling"]["r2"], result["per_token_scaling"]["distance"]):
        assert part["level"] == BOOTSTRAP["level"] and part["joint"]["level"] == together
        assert part["joint"]["low"] < part["low"] and part["joint"]["high"] > part["high"]
    apart = pair_estimates(pairs[1], BOOTSTRAP)["estimates"]["token"]["paper"]
    assert result["per_token_scaling"]["r2"][1]["low"] == pytest.approx(apart["low"], abs=0.01)
    largest = result["nonlinear_scaling_gain"]["largest"]
    assert largest["level"] == BOOTSTRAP["level"]
    assert largest["joint"]["level"] == joint_level(BOOTSTRAP["level"], 3)  # with the lead over each control
    assert largest["value"] == pytest.approx(max(gains))
    assert largest["low"] <= largest["value"] <= largest["high"]


@pytest.mark.parametrize("split", SPLITS)
@pytest.mark.parametrize("variant", ["paper", "authors"])
def test_controls_equal_dense_least_squares(split, variant):
    """The largest gain over that of LinearError's norm, and of NonlinearError's norm of other tokens."""
    first, columns = gamma(0), table(gamma(0), 200)
    second = first + 0.5 * columns[f"nonlinear/{split}"] + gamma(2)
    shape = (lambda values: values) if variant == "paper" else np.sqrt
    alone = dense_r2([shape(first)], shape(second), split, True)

    def decrease(column):
        return 1 - (1 - dense_r2([shape(first), shape(column)], shape(second), split, True)) / (1 - alone)

    own = decrease(columns[f"nonlinear/{split}"])
    result = scaling_estimands([pair(first, second, 200)], split, variant, BOOTSTRAP)["nonlinear_scaling_gain"]
    assert result["largest"]["value"] == pytest.approx(own)
    assert result["over_linear"]["value"] == pytest.approx(own - decrease(columns[f"linear/{split}"]))
    others = shuffled(columns, SPLIT.kept)[f"shuffled/{split}"]
    assert sorted(others.flat) == sorted(columns[f"nonlinear/{split}"].flat)
    assert result["over_shuffled"]["value"] == pytest.approx(own - decrease(others))


def test_outliers_stay_in_their_places_when_tokens_are_shuffled():
    kept = np.ones((CONTEXTS, POSITIONS), dtype=bool)
    kept[0, :5] = False
    columns = table(gamma(0), 200)
    others = shuffled(columns, kept)["shuffled/token"]
    assert np.array_equal(others[~kept], columns["nonlinear/token"][~kept])
    assert (others[kept] != columns["nonlinear/token"][kept]).mean() > 0.9


def test_no_pair_and_equal_distances_are_explicit_nulls():
    result = scaling_estimands(several([("a", 16, 4)]), "token", "paper", BOOTSTRAP)
    assert result["nonlinear_scaling_gain"]["largest"]["reason"].startswith("no pair")
    result = scaling_estimands(several([("a", 16, 4), ("b", 32, 4)]), "token", "paper", BOOTSTRAP)
    assert result["per_token_scaling"]["distance"]["value"] is None
    assert result["per_token_scaling"]["distance"]["reason"] == "all pairs are equally far apart"


def test_target_without_variance_is_null():
    constant = np.full((CONTEXTS, POSITIONS), 2.0)
    result = pair_estimates(pair(gamma(0), constant), BOOTSTRAP)
    assert result["estimates"]["token"]["paper"]["reason"] == "the target has no variance"
    assert result["nonlinear"]["token"]["paper"]["decrease"]["value"] is None


def test_fewer_rows_than_regressors_are_refused():
    few = draw_splits(5, 1, 0.6, 5, 0)
    saes = [{"name": "a", "d_sae": 16, "k": 4}, {"name": "b", "d_sae": 32, "k": 4}]
    tables = {name: {key: column[:5, :1] for key, column in table(gamma(0)).items()} for name in "ab"}
    with pytest.raises(ArtifactError, match="needs more than"):
        scaling_regressions(saes, tables, few, 1e-12)


SEEDS = [{"name": name, "d_sae": d_sae, "k": 4} for name, d_sae in (("a", 16), ("b", 32), ("b-1", 32), ("c", 64))]


def seeded_pairs():
    """Pairs of three widths, one of which was trained from two seeds."""
    random = np.random.default_rng(5)
    common = gamma(0)
    tables = {sae["name"]: table(common + random.gamma(1.0, size=common.shape), 300 + i) for i, sae in enumerate(SEEDS)}
    every = pairs_of(scaling_regressions(SEEDS, tables, SPLIT, 1e-12))
    return every, [pair for pair in every if "b-1" not in pair.ends]


def test_seeds_are_measured_on_pairs_of_either_side():
    every, pairs = seeded_pairs()
    assert ("b", "b-1") not in {pair.ends for pair in every} and len(pairs) == 3
    noise = PairNoise.of(every, pairs, [["b", "b-1"]], "token", "paper")
    r2 = {pair.ends: pair.eq_13("token", "paper").value for pair in every}
    wide, narrow = (r2["a", "b"] - r2["a", "b-1"]) / 2, (r2["b", "c"] - r2["b-1", "c"]) / 2
    result = with_noise(scaling_estimands(pairs, "token", "paper", BOOTSTRAP), pairs, noise)
    of_pair = {"a to b": (wide, narrow), "b to c": (wide, narrow), "a to c": (wide, narrow)}
    for one in result["per_token_scaling"]["r2"]:  # both SAEs of a pair move it, each to either side
        expected = sum(2 * move**2 for move in of_pair[one["pair"]]) ** 0.5
        assert one["of_seed"] == {"deviation": pytest.approx(expected), "freedom": 1}
    weights = np.linalg.pinv(np.stack([[1, 2, 1], np.ones(3)], 1))[0]  # of a-b, a-c, b-c in the slope
    moves = {
        "a": narrow * (weights[0] + weights[1]),
        "b": wide * weights[0] + narrow * weights[2],
        "c": wide * (weights[1] + weights[2]),
    }
    expected = sum(2 * move**2 for move in moves.values()) ** 0.5
    assert [pair.ends for pair in pairs] == [("a", "b"), ("a", "c"), ("b", "c")]
    assert result["per_token_scaling"]["distance"]["of_seed"]["deviation"] == pytest.approx(expected)
    for one in result["nonlinear_scaling_gain"].values():
        assert one["of_seed"]["deviation"] > 0
    plain = scaling_estimands(pairs, "token", "paper", BOOTSTRAP)["nonlinear_scaling_gain"]
    for name, combine in GAINS.items():
        assert combine(noise.values[..., None])[0] == pytest.approx(plain[name]["value"])


def test_without_seeds_or_without_a_side_there_is_no_term():
    every, pairs = seeded_pairs()
    plain = scaling_estimands(pairs, "token", "paper", BOOTSTRAP)
    assert with_noise(plain, pairs, PairNoise.of(pairs, pairs, [], "token", "paper")) == plain
    ends = [pair for pair in every if "c" not in pair.ends]  # none is wider than the two seeds
    compared = [pair for pair in ends if "b-1" not in pair.ends]
    noise = PairNoise.of(ends, compared, [["b", "b-1"]], "token", "paper")
    result = with_noise(scaling_estimands(compared, "token", "paper", BOOTSTRAP), compared, noise)
    assert noise == LACKING and result["per_token_scaling"]["r2"][0]["of_seed"] == {"reason": LACKING}
    assert "of_seed" not in result["per_token_scaling"]["distance"]  # one pair has no slope
