"""FVU averaged over dimensions: gradient pursuit from its sums, against the same numbers row by row."""

import dataclasses

import numpy as np
import pytest
from first_order import mean_of_ratios
from profiles import profile_params
from scipy.stats import norm, t

from darkmatter.experiments.pursuit.estimates import CLAIMED, OWN
from darkmatter.experiments.pursuit.results import OF_OWN
from darkmatter.ledger.estimands.by_dimension import pursuit_takes_away
from darkmatter.ledger.estimands.evidence import BY_DIMENSION, Evidence, Missing
from darkmatter.ledger.estimands.experiments import of_experiment
from darkmatter.ledger.estimands.stage_seeds import NOT_ASKED
from darkmatter.results.load import Results
from darkmatter.statistics.bootstrap import ContextBootstrap, bca
from darkmatter.statistics.per_dimension import fvu_key, fvu_nonlinear_key, ratio_sums, unexplained_sums
from darkmatter.statistics.seed_noise import NO_SEEDS
from darkmatter.statistics.variance_model import Term, interval
from darkmatter.storage.artifacts import write_arrays

CONTEXTS, TOKENS, DIMENSIONS = 12, 7, 5
BOOTSTRAP = {"resamples": 40, "level": 0.9, "seed": 3}
ALIKE = {"architecture": "topk", "d_sae": 32, "k": 4, "train_tokens": 1}
CONTENT = {
    "regressions": {"token": {"rank": 4}, "context": {"rank": 4}},
    "saes": [ALIKE | {"name": "a", "seed": 0}, ALIKE | {"name": "b", "seed": 1}],
    "estimands": {"pursuit_fvu_decrease": {}, "pursuit_nonlinear_change": {}},
}


@pytest.fixture(scope="module")
def rows():
    """Held-out rows of the token split: x, and what each encoder leaves of it."""
    random = np.random.default_rng(0)
    scale = np.array([5.0, 1.0, 1.0, 0.5, 0.2])
    x = random.normal(size=(CONTEXTS, TOKENS, DIMENSIONS)) * scale + random.normal(size=(CONTEXTS, 1, DIMENSIONS))
    left = lambda size: size * random.normal(size=x.shape) * scale**0.5  # noqa: E731
    sizes = {OWN: (0.5, 0.4), CLAIMED: (0.35, 0.34)}
    return x, {
        f"{sae}/{encoder}": {"error": left(error), "nonlinear": left(nonlinear)}
        for sae in "ab"
        for encoder, (error, nonlinear) in sizes.items()
    }


@pytest.fixture(scope="module")
def evidence(rows, tmp_path_factory) -> Evidence:
    x, residuals = rows
    counts = np.full(CONTEXTS, float(TOKENS))
    arrays = {"rows": np.stack([counts, counts, counts])}
    of_x = counts, x.sum(1), (x**2).sum(1)
    squares = {name: {key: (left**2).sum(1) for key, left in side.items()} for name, side in residuals.items()}
    for name, side in squares.items():
        arrays[f"{name}/{fvu_key('token')}"] = unexplained_sums(*of_x, side["error"])
        arrays[f"{name}/{fvu_nonlinear_key('token', 'paper')}"] = unexplained_sums(*of_x, side["nonlinear"])
    for sae in "ab":
        pursued, own = (squares[f"{sae}/{encoder}"]["nonlinear"] for encoder in (CLAIMED, OWN))
        arrays[f"{sae}/{CLAIMED}/{OF_OWN}"] = ratio_sums(pursued, own)
    folder = tmp_path_factory.mktemp("pursuit")
    write_arrays(folder / "stored.npz", arrays)
    results = Results({}, {"pursuit": CONTENT})
    return Evidence(profile_params("smoke"), results, folder, 3, folder / "stored.npz")


def numbers(x, own, pursued, drawn) -> dict[str, float]:
    """What the estimands say, from rows [context, token, dim]."""
    spread = (x - x.mean((0, 1))) ** 2
    before, after = (
        {name: mean_of_ratios(left**2, spread, drawn) for name, left in side.items()} for side in (own, pursued)
    )
    return {
        "decrease": 1 - after["error"] / before["error"],
        "change": after["nonlinear"] / before["nonlinear"] - 1,
        "taken_away": mean_of_ratios(pursued["nonlinear"] ** 2, own["nonlinear"] ** 2, drawn) - 1,
        "share": (before["nonlinear"] - after["nonlinear"]) / (before["error"] - after["error"]),
    }


@pytest.mark.parametrize(
    ("name", "component"),
    [
        ("pursuit_fvu_decrease", "decrease"),
        ("pursuit_nonlinear_change", "change"),
        ("pursuit_nonlinear_change", "share"),
        ("pursuit_nonlinear_change", "taken_away"),
    ],
)
def test_pursuit_against_rows(rows, evidence, name, component):
    x, residuals = rows

    def counted(weights: np.ndarray, sae: str) -> float:
        drawn = np.repeat(np.arange(CONTEXTS), weights.astype(int))
        return numbers(x, *(residuals[f"{sae}/{encoder}"] for encoder in (OWN, CLAIMED)), drawn)[component]

    if component == "taken_away":
        result = pursuit_takes_away(evidence, seed=False)["change"]
    else:
        result = of_experiment("pursuit", name)(evidence, BY_DIMENSION)[component]
    assert [item.key["sae"] for item in result] == ["a", "b"]
    units = ContextBootstrap(CONTEXTS, **BOOTSTRAP)
    for item in result:
        sae = item.key["sae"]
        value = counted(np.ones(CONTEXTS), sae)
        drawn = np.sort([counted(weights, sae) for weights in units.weights])
        left_out = np.array([counted(weights, sae) for weights in 1 - np.eye(CONTEXTS)])
        ours = item.quantity.at(BOOTSTRAP, 1)
        low, high = (value + wider() * (end - value) for end in bca(value, drawn, left_out, BOOTSTRAP["level"]))
        np.testing.assert_allclose([ours["value"], ours["low"], ours["high"]], (value, low, high), rtol=1e-9)


def test_the_seed_is_a_term_where_the_rule_asks_for_it(evidence):
    asked = of_experiment("pursuit", "pursuit_fvu_decrease", seed=True)(evidence, BY_DIMENSION)["decrease"]
    plain = of_experiment("pursuit", "pursuit_fvu_decrease")(evidence, BY_DIMENSION)["decrease"]
    first, second = (item.quantity.at(BOOTSTRAP, 1) for item in asked)
    term = Term("seed", *2 * [abs(first["value"] - second["value"]) / 2**0.5], 1)
    for item, before in zip(asked, plain, strict=True):
        result, contexts = item.quantity.at(BOOTSTRAP, 1), before.quantity.at(BOOTSTRAP, 1)
        assert result["resampled"] == "context, seed" and result["low"] < contexts["low"]
        own = result["intervals"]["seed"]
        assert (own["low"], own["high"]) == pytest.approx(interval(result["value"], [term], BOOTSTRAP["level"]))
        assert contexts["absent"]["seed"] == NOT_ASKED
    one = {"pursuit": CONTENT | {"saes": CONTENT["saes"][:1]}}
    alone = dataclasses.replace(evidence, results=Results({}, one))
    (number,) = of_experiment("pursuit", "pursuit_fvu_decrease", seed=True)(alone, BY_DIMENSION)["decrease"]
    assert number.quantity.at(BOOTSTRAP, 1)["absent"]["seed"] == NO_SEEDS


def wider() -> float:
    """By how much an interval over contexts alone exceeds BCa's: their variance is known from few of them."""
    middle, freedom = 0.5 + BOOTSTRAP["level"] / 2, CONTEXTS - 1
    return float(t.ppf(middle, freedom) / norm.ppf(middle) * np.sqrt(CONTEXTS / freedom))


def test_pursuit_without_sums_or_results(evidence):
    read = of_experiment("pursuit", "pursuit_fvu_decrease")
    with pytest.raises(Missing, match="no results of pursuit"):
        read(dataclasses.replace(evidence, pursuit_sums=None), BY_DIMENSION)
    with pytest.raises(Missing, match="no results of pursuit"):
        read(dataclasses.replace(evidence, results=Results({}, {})), BY_DIMENSION)


def test_the_published_expectation_is_the_mean_over_dimensions(evidence):
    estimate = {"value": 1.27, "low": 1.1, "high": 1.4, "level": 0.99}
    content = {
        "estimands": {"cross_entropy_ratio": {"linear_by_variance": estimate | {"value": 1.7}}},
        "estimands_by_variant": {"context": {"authors": {"cross_entropy_ratio": {"linear_by_variance": estimate}}}},
    }
    having = dataclasses.replace(evidence, results=Results({}, {"downstream": content}))
    result = of_experiment("downstream", "cross_entropy_ratio")(having, BY_DIMENSION)
    assert result["linear_by_variance"].estimate["value"] == 1.27
    with pytest.raises(Missing, match="token/paper/per-dimension"):
        of_experiment("components", "sae_explains_nonlinear")(
            dataclasses.replace(evidence, results=Results({}, {"components": {"estimands": {}}})), BY_DIMENSION
        )
