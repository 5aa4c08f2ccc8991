"""Simulated worlds of the structure that the paper assumes, in which rules of the second edition say what they should.

`test_two_worlds` puts numbers to every rule. Here the numbers come from simulated activations, errors and losses.
"""

import numpy as np
import pytest
from test_two_worlds import CLAIMS, judged, shares

from darkmatter.experiments.per_token_scaling.compute import scaling_regressions
from darkmatter.experiments.per_token_scaling.estimates import pairs_of, scaling_estimands
from darkmatter.ledger.verdicts import outcome
from darkmatter.regression.splits import draw_splits
from darkmatter.statistics.paired_r2 import slope

RANDOM = 5


def held_out_r2(x: np.ndarray, y: np.ndarray) -> float:
    """R² of least squares with intercept, fitted on one half and scored on the other."""
    design = np.column_stack([x, np.ones(len(x))])
    half = len(x) // 2
    fit = np.linalg.lstsq(design[:half], y[:half], rcond=None)[0]
    left, target = y[half:] - design[half:] @ fit, y[half:]
    return float(1 - (left**2).sum() / ((target - target.mean()) ** 2).sum())


def sparse_sum(weights: str, rows: int = 8000, features: int = 40) -> np.ndarray:
    """A sparse sum of orthogonal features, off or 1, or exponential where they are on."""
    random = np.random.default_rng(RANDOM)
    on = random.random((rows, features)) < 0.05
    return on * (1.0 if weights == "constant" else random.exponential(size=(rows, features)))


def norm_score(x: np.ndarray, vector: np.ndarray) -> float:
    return held_out_r2(x, (vector**2).sum(1))


def test_x_as_the_paper_models_it_passes_the_norm_test():
    """B.1: of orthogonal features that are off or on the norm is predicted perfectly; of dense Gaussians not at all."""
    x = sparse_sum("constant")
    dense = np.random.default_rng(RANDOM).normal(size=x.shape)
    for side in ("real", "analogue"):
        assert judged("norm-test-x", side, {"x": [norm_score(x, x)]}) == "agrees"
        assert judged("norm-test-x", side, {"x": [norm_score(dense, dense)]}) == "disagrees"
    varying = sparse_sum("exponential")
    assert judged("norm-test-x", "real", {"x": [norm_score(varying, varying)]}) == "disagrees"  # norm-test-premise


@pytest.mark.parametrize(("nonlinear", "expected"), [("noise", "agrees"), ("features", "disagrees")])
def test_the_order_of_the_parts_tells_features_from_noise(nonlinear, expected):
    """Where linear error is features not learned and nonlinear error noise, and the other way round."""
    x = sparse_sum("constant")
    noise = 0.3 * np.random.default_rng(RANDOM).normal(size=x.shape)
    features = x * (np.arange(x.shape[1]) >= 20)
    linear, rest = (features, noise) if nonlinear == "noise" else (noise, features)
    scores = {name: norm_score(x, part) for name, part in (("l", linear), ("n", rest), ("e", linear + rest))}
    world = {"linear_minus_nonlinear": [scores["l"] - scores["n"]], "linear_minus_error": [scores["l"] - scores["e"]]}
    for side in ("real", "analogue"):
        assert judged("norm-test-order", side, world) == expected


@pytest.mark.parametrize(("kind", "expected"), [("subspace", "agrees"), ("shrinkage", "disagrees")])
def test_cosine_of_a_subspace_and_of_shrinkage(kind, expected):
    """b* that keeps a quarter of the dimensions has a cosine near 1/2 with x, b* = 0.1 has 1."""
    x = np.random.default_rng(RANDOM).normal(size=(4000, 64))
    linear = x * (np.arange(64) < 16) if kind == "subspace" else 0.1 * x
    cosine = ((linear * x).sum(1) / np.linalg.norm(linear, axis=1) / np.linalg.norm(x, axis=1)).mean()
    for side in ("real", "analogue"):
        assert judged("not-shrinkage-cos", side, {"cosine": float(cosine)}) == expected


@pytest.mark.parametrize("size", ["norm", "variance"])
@pytest.mark.parametrize("fvu", [0.05, 0.2, 0.4])
@pytest.mark.parametrize("linear", [0.3, 0.5, 0.6])
def test_recovery_in_proportion_to_either_size_agrees(size, fvu, linear):
    """Errors of any size: a loss that follows the part's norm, or its variance, is in proportion to it."""
    expected = shares(fvu, linear)
    recovered = {part: expected[f"{part}_by_{size}"] for part in ("linear", "nonlinear")}
    ratios = {name: recovered[name.split("_")[0]] / number for name, number in expected.items()}
    assert judged("ce-proportional", "analogue", ratios) == judged("ce-proportional", "real", ratios) == "agrees"
    above = {name: (1.1 if name.startswith("linear") else 1) * ratio for name, ratio in ratios.items()}
    assert judged("ce-linear-higher", "analogue", above) == "agrees"
    below = {name: 0.9 * ratio / max(ratio, 1) for name, ratio in ratios.items()}  # less than expected by either size
    far_above = {name: 3 * max(ratio, 1) for name, ratio in ratios.items()}
    for side, of_far_above in (("real", "disagrees"), ("analogue", "agrees")):  # of another model the order alone
        assert judged("ce-linear-higher", side, below) == "disagrees"
        assert judged("ce-linear-higher", side, far_above) == of_far_above


@pytest.mark.parametrize("fvu", [0.05, 0.2, 0.4])
def test_recovery_by_one_part_alone_disagrees(fvu):
    expected = shares(fvu, 0.5)
    recovered = {"linear": 1.0, "nonlinear": 0.0}
    ratios = {name: recovered[name.split("_")[0]] / number for name, number in expected.items()}
    assert judged("ce-proportional", "analogue", ratios) == judged("ce-proportional", "real", ratios) == "disagrees"


@pytest.mark.parametrize(("falls", "expected"), [("linear", "agrees"), ("both", "disagrees")])
def test_only_the_part_with_absent_features_shrinks(falls, expected):
    """Fig. 1: a power law with constant above a horizontal line; and a law of which both parts take their share."""
    width = 2.0 ** np.arange(14, 21)
    fvu = 0.15 + 4 * width**-0.4
    nonlinear = np.full(7, 0.1) if falls == "linear" else 0.6 * fvu
    result = {"linear": fvu - nonlinear, "nonlinear": nonlinear}
    world = {name: float(slope(np.log2(width), np.log(part)[:, None]).item()) for name, part in result.items()}
    for side in ("real", "analogue"):
        assert judged("absent-only-shrinks", side, world) == expected


CONTEXTS, POSITIONS = 60, 250


def tables(world: str) -> tuple[list[dict], dict]:
    """Per-token tables of three widths, squared norms.

    In the paper's model (B.3) absent features make the linear part, which falls with width, and Introduced the
    nonlinear one, which stays. The parts are not orthogonal token by token.
    """
    random = np.random.default_rng(RANDOM)
    shape = (CONTEXTS, POSITIONS)
    absent, introduced = random.gamma(3.0, size=shape), random.gamma(3.0, size=shape)
    saes = [{"name": str(width), "d_sae": width, "k": 4} for width in (16, 32, 64)]
    result = {}
    for place, sae in enumerate(saes):
        fall = 0.6**place
        linear, nonlinear = (fall * absent, introduced) if world != "reversed" else (absent, fall * introduced)
        error = linear + nonlinear + random.normal(size=shape) * np.sqrt(linear * nonlinear) * 0.6 + 3
        if world == "useless":
            nonlinear = random.gamma(3.0, size=shape)
        names = {"error": error} | {f"nonlinear/{way}": nonlinear for way in ("token", "context", "cross-fit")}
        result[sae["name"]] = names | {f"linear/{way}": linear for way in ("token", "context")}
    return saes, result


@pytest.mark.parametrize(
    ("world", "expected"), [("paper", "agrees"), ("reversed", "disagrees"), ("useless", "disagrees")]
)
def test_the_nonlinear_norm_helps_where_it_stays_with_width(world, expected):
    splits = draw_splits(CONTEXTS, POSITIONS, 0.6, 5, 0)
    pairs = pairs_of(scaling_regressions(*tables(world), splits, 1e-12))
    bootstrap = {"resamples": 200, "level": 0.95, "seed": 0}
    result = scaling_estimands(pairs, "token", "paper", bootstrap)["nonlinear_scaling_gain"]
    regions = CLAIMS["nonlinear-helps-scaling"].rule.analogue
    assert outcome(regions, {name: [result[name]] for name in regions}) == expected


def test_the_rule_before_did_not_notice_a_useless_norm():
    splits = draw_splits(CONTEXTS, POSITIONS, 0.6, 5, 0)
    pairs = pairs_of(scaling_regressions(*tables("useless"), splits, 1e-12))
    result = scaling_estimands(pairs, "token", "paper", {"resamples": 200, "level": 0.95, "seed": 0})
    regions = CLAIMS["nonlinear-helps-scaling"].earlier[0].rule.analogue
    assert outcome(regions, {"largest": [result["nonlinear_scaling_gain"]["largest"]]}) != "disagrees"
