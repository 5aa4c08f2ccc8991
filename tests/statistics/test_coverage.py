"""Every kind of interval covers the truth as often as it says: 93 to 97 of 100 at 95 %, in simulated worlds.

Worlds have the sizes of the default profile and noise as measured there: between contexts, the mean squared error per
row varies by 0.19 of itself and that of x by 0.08. Where an interval is known to cover less, a test says how much.
"""

import numpy as np
import pytest
from scipy.stats import norm

from darkmatter.experiments.downstream.estimates import mean_ratio
from darkmatter.ledger.estimands.breakdown_trends import scatter_of_gap
from darkmatter.ledger.estimands.quantities import Fixed, Formula, Sampled, first
from darkmatter.ledger.estimands.reductions import Lead
from darkmatter.ledger.estimands.stage_seeds import WithSeed, with_seed
from darkmatter.ledger.estimands.trends import slope_over_saes
from darkmatter.statistics import power_law
from darkmatter.statistics.bootstrap import ContextBootstrap
from darkmatter.statistics.paired_r2 import ScoredRegression, difference, slope
from darkmatter.statistics.per_dimension import mean_of_ratios, pooled_sums, unexplained_sums
from darkmatter.statistics.sae_estimates import RowSet
from darkmatter.statistics.seed_intervals import seed_estimate
from darkmatter.statistics.seed_noise import SeedNoise, seed_fact
from darkmatter.statistics.variance_model import (
    SEED_HELD,
    combined,
    contexts_and_saes,
    interval,
    of_interval,
    of_values,
    shared_share,
)

WORLDS, RESAMPLES, LEVEL = 1000, 1000, 0.95
DRAWS = 8  # sets of resamples that worlds take in turn: one set errs in all of them alike
CONTEXTS = 39  # of a hundred, those that the context split holds out
OF_ERROR, OF_X = 0.19, 0.08  # coefficients of variation between contexts


def coverage(world, truth: float, worlds: int = WORLDS) -> float:
    """Share of the worlds whose interval, `world(random, bootstrap)`, holds the truth."""
    random = np.random.default_rng(0)
    bootstraps = [{"resamples": RESAMPLES, "level": LEVEL, "seed": seed} for seed in range(DRAWS)]
    ends = np.array([world(random, bootstraps[number % DRAWS]) for number in range(worlds)])
    return float(np.mean((ends[:, 0] <= truth) & (truth <= ends[:, 1])))


def varying(random, variation: float, shape) -> np.ndarray:
    """Positive, with mean 1 and the coefficient of variation."""
    return random.gamma(variation**-2, variation**2, size=shape)


def test_ratio_of_sums_over_contexts():
    def world(random, bootstrap):
        units = ContextBootstrap(CONTEXTS, **bootstrap)
        x = varying(random, OF_X, CONTEXTS)
        error = 0.3 * x * varying(random, OF_ERROR, CONTEXTS)
        result = units.interval(lambda weights: (weights @ error) / (weights @ x))
        return result.low, result.high

    assert 0.93 <= coverage(world, 0.3) <= 0.97


def test_paired_difference_of_two_r2():
    rows = np.full(CONTEXTS, 820.0)

    def world(random, bootstrap):
        square = rows * varying(random, OF_X, CONTEXTS)
        shared = varying(random, OF_ERROR, CONTEXTS)
        left = [share * square * shared * varying(random, 0.05, CONTEXTS) for share in (0.3, 0.32)]
        one, other = (ScoredRegression(rows, np.zeros(CONTEXTS), square, residual, 4) for residual in left)
        result = difference(one, other, bootstrap)
        return result["low"], result["high"]

    assert 0.93 <= coverage(world, 0.02) <= 0.97


def formulas_of(values: np.ndarray, seeds="not asked for") -> list[Formula]:
    """One formula for each SAE: the mean over contexts of its row of values."""
    contexts = values.shape[1]
    view = RowSet(0, np.arange(contexts), np.ones(contexts), ContextBootstrap(contexts, 1, LEVEL, 0))
    return [
        Formula(view, lambda weights, own=own: weights @ own / weights.sum(1), 0, f"sae-{number}", seeds)
        for number, own in enumerate(values)
    ]


@pytest.mark.parametrize(("of_saes", "of_contexts"), [(0.03, 0.02), (0.01, 0.3)])
def test_slope_over_contexts_and_saes(of_saes, of_contexts):
    """The main grid: five widths at one k, two at each of three others; contexts move the slope as well."""
    x = np.array([9, 10, 11, 12, 13, 10, 11, 10, 11, 10, 11], dtype=float)
    group = [32] * 5 + [16] * 2 + [64] * 2 + [128] * 2

    def world(random, bootstrap):
        steeper = 0.05 + of_contexts * random.normal(size=CONTEXTS)
        values = x[:, None] * steeper + of_saes * random.normal(size=(len(x), 1)) + 0.01 * random.normal(size=CONTEXTS)
        y = values.mean(1)
        sampled = Sampled(formulas_of(values), lambda n: slope(x, n, group), slope_over_saes(x, y, group))
        result = sampled.at(bootstrap, 1)
        return result["low"], result["high"]

    assert 0.93 <= coverage(world, 0.05) <= 0.97


def of_one_sae(of_seed: float, seeds: int):
    """One SAE's number, whose seed noise is known from another size that was trained from several seeds."""

    def world(random, bootstrap):
        values = random.normal(size=CONTEXTS) + of_seed * random.normal()
        noise = SeedNoise.of([(of_seed * random.normal(size=seeds)).tolist()])
        result = Sampled(formulas_of(values[None], noise), first).at(bootstrap, 1)
        return result["low"], result["high"]

    return world


@pytest.mark.parametrize("of_seed", [0.3, 1.0])
def test_seed_term(of_seed):
    """Noise of the seed at 0.3 and 1 times that of contexts (whose mean has a deviation of 0.16), five seeds."""
    assert 0.93 <= coverage(of_one_sae(0.16 * of_seed, 5), 0) <= 0.97


@pytest.mark.parametrize(("of_seed", "low", "high"), [(0.3, 0.93, 0.97), (3.0, 0.84, 0.92)])
def test_two_seeds_are_enough_only_where_their_noise_is_the_smaller(of_seed, low, high):
    """A limit: one degree of freedom says little of a noise that exceeds that of contexts (docs/reliability.md)."""
    assert low <= coverage(of_one_sae(0.16 * of_seed, 2), 0) <= high


def of_a_stage(of_seed: float, seeds: int, saes: int):
    """A stage's BCa interval of the mean of some SAEs' ratios on shared contexts; the seed's noise of another size."""

    def world(random, bootstrap):
        units = ContextBootstrap(CONTEXTS, **bootstrap)
        x = varying(random, OF_X, CONTEXTS)
        shared = varying(random, OF_ERROR, CONTEXTS)
        left = [(0.3 + 0.009 * of_seed * random.normal()) * x * shared for _ in range(saes)]
        result = units.interval(lambda weights: np.mean([weights @ own for own in left], axis=0) / (weights @ x))
        values = (0.3 + 0.009 * of_seed * random.normal(size=seeds)).tolist()
        estimate = {"value": result.value, "low": result.low, "high": result.high, "contexts": CONTEXTS}
        estimate |= seed_fact([0.0] * saes, [values], lambda numbers: numbers.mean(0))
        judged = with_seed(Fixed(estimate, LEVEL), True).at(bootstrap, 1)
        assert judged["resampled"] == "context, seed"
        return judged["low"], judged["high"]

    return world


@pytest.mark.parametrize(
    ("of_seed", "seeds", "saes"), [(0.3, 5, 1), (1.0, 5, 1), (0.3, 2, 1), (1.0, 2, 1), (1.0, 2, 3)]
)
def test_interval_of_a_stage_and_the_seed(of_seed, seeds, saes):
    """Noise of the seed at 0.3 and 1 times that of contexts, whose deviation is 0.009."""
    assert 0.93 <= coverage(of_a_stage(of_seed, seeds, saes), 0.3) <= 0.97


def test_one_pair_says_too_little_of_a_seed_that_exceeds_the_contexts_of_a_stage():
    assert 0.84 <= coverage(of_a_stage(3.0, 2, 1), 0.3) <= 0.92


@pytest.mark.parametrize(("of_seed", "low", "high"), [(0.3, 0.93, 0.97), (1.0, 0.93, 0.97), (3.0, 0.88, 0.94)])
def test_interval_of_draws_and_the_seed(of_seed, low, high):
    """Five draws of contexts and noise, and one pair of SAEs that differ in their seed alone."""

    def world(random, bootstrap):
        drawn = random.normal(size=5) + 5**-0.5 * of_seed * random.normal()
        estimate = seed_estimate(drawn.tolist(), LEVEL, 10, 4) | {"resampled": "context and noise"}
        pair = (5**-0.5 * of_seed * random.normal(size=2)).tolist()
        judged = with_seed(Fixed(estimate | seed_fact([0.0], [pair]), LEVEL), True).at(bootstrap, 1)
        return judged["low"], judged["high"]

    assert low <= coverage(world, 0) <= high


def test_gap_below_the_asymptote(monkeypatch):
    """Five widths with scatter around both curves; FVU falls to 0.12, FVU_nonlinear lies at 0.1."""
    widths = 512.0 * 2.0 ** np.arange(5)
    monkeypatch.setattr(power_law, "random_starts", lambda *_: [(0.12, 0.1, 0.8)])  # one good start saves time

    def world(random, bootstrap):
        fvu = 0.12 + 0.2 * (widths / 512) ** -0.8 + 0.004 * random.normal(size=5)
        flat = 0.1 + 0.004 * random.normal(size=5)
        law = power_law.fit_power_law(widths, fvu, 1, 0, LEVEL)
        term = scatter_of_gap(law, flat.tolist(), LEVEL)
        return interval(law.asymptote - flat.mean(), [term], LEVEL)

    assert 0.93 <= coverage(world, 0.02, 500) <= 0.98


@pytest.mark.parametrize(("of_saes", "of_contexts"), [(0.25, 0.12), (0.05, 0.25)])
def test_cross_entropy_ratio(of_saes, of_contexts):
    """Five SAEs and few contexts, each a ratio of sums: noise as in the committed run, and with less between SAEs."""
    contexts, names = 6, list("abcde")

    def world(random, bootstrap):
        clean, cost = np.full(contexts, 100.0), 10 * varying(random, 0.3, contexts)
        sums = {"rows": np.full(contexts, 50.0), "ce/clean": clean}
        for name in names:
            sums[f"{name}/ce/sae"] = clean + cost
            gained = (1.5 + of_saes * random.normal()) * 0.3 * varying(random, of_contexts, contexts)
            sums[f"{name}/ce/linear"] = clean + cost * (1 - gained)
            sums |= {f"{name}/norm/sae": np.full(contexts, 100.0), f"{name}/norm/linear": np.full(contexts, 30.0)}
        saes = []
        for name in names:
            value = (sums[f"{name}/ce/sae"] - sums[f"{name}/ce/linear"]).sum() / cost.sum() / 0.3
            saes.append({"name": name, "rank": 4, "ratio": {"norm": {"linear": {"value": value}}}})
        result = mean_ratio(sums, saes, "linear", "norm", bootstrap)
        return result["low"], result["high"]

    assert 0.93 <= coverage(world, 1.5) <= 0.97


def test_t_over_saes():
    def world(random, bootstrap):
        values = 1 + random.normal(size=5)
        return interval(values.mean(), [of_values("sae", values)], LEVEL)

    assert 0.93 <= coverage(world, 1) <= 0.97


def test_t_over_seeds_of_noise():
    def world(random, bootstrap):
        result = seed_estimate(random.normal(size=5).tolist(), LEVEL, 10, 4)
        return result["low"], result["high"]

    assert 0.93 <= coverage(world, 0) <= 0.97


@pytest.mark.parametrize(
    ("of_saes", "of_contexts", "apart", "saes"),
    [(1.0, 1.0, 0.1, 5), (0.3, 1.0, 0.5, 8), (0, 0.5, 2, 5)],
)
def test_contexts_and_saes(of_saes, of_contexts, apart, saes):
    """A mean over SAEs of numbers on shared contexts, as in the synthetic experiments."""

    def world(random, bootstrap):
        units = ContextBootstrap(CONTEXTS, **bootstrap)
        values = of_saes * random.normal(size=(saes, 1)) + of_contexts * random.normal(size=CONTEXTS)
        values = values + apart * random.normal(size=values.shape)
        mean = values.mean(0)
        over_contexts = units.interval(lambda weights: weights @ mean / weights.sum(1))
        ends = over_contexts.low, over_contexts.high
        shared = shared_share(values @ units.weights.T / CONTEXTS)
        result = contexts_and_saes(over_contexts.value, ends, CONTEXTS, values.mean(1), LEVEL, shared)
        return result["low"], result["high"]

    assert 0.93 <= coverage(world, 0) <= 0.97


def over_contexts(value: float, **facts) -> Fixed:
    """A number whose interval is that of contexts, which move it by 0.01."""
    half = 0.01 * norm.ppf(0.5 + LEVEL / 2)
    return Fixed({"value": value, "low": value - half, "high": value + half, "contexts": CONTEXTS, **facts}, LEVEL)


def test_lead_of_one_number_over_another_of_other_contexts():
    """Ends are added, as at the worst correlation: never below its level, wider where the two are independent."""

    def world(random, bootstrap):
        *parts, change = (over_contexts(mean + 0.01 * random.normal()) for mean in (0.10, 0.04, 0.06, -0.05))
        result = Lead(parts, change).at(bootstrap, 1)
        return result["low"], result["high"]

    assert 0.97 <= coverage(world, 0.05) <= 1


@pytest.mark.parametrize("of_seeds", [0.003, 0.03])
def test_lead_of_numbers_that_hold_the_seed(of_seeds):
    """The noise of the seed is known from one pair; the judged SAE has a seed of its own."""

    def world(random, bootstrap):
        def number(mean: float) -> WithSeed:
            value = mean + 0.01 * random.normal() + of_seeds * random.normal()
            pair = of_seeds * random.normal(size=2)
            known = {"deviation": float(np.ptp(pair)) / 2**0.5, "freedom": 1}
            return with_seed(over_contexts(value, of_seed=known), True)

        result = Lead([number(mean) for mean in (0.30, 0.04)], number(-0.05)).at(bootstrap, 1)
        return result["low"], result["high"]

    assert 0.96 <= coverage(world, 0.25) <= 1


@pytest.mark.parametrize("of_seeds", [0.003, 0.01])
def test_lead_with_the_seeds_noise_of_its_own(of_seeds):
    def world(random, bootstrap):
        of_part, of_change = of_seeds * random.normal(size=(2, 3))  # the judged SAE's, and a pair's
        moved = {0.30: of_part[0], 0.04: 0, -0.05: of_change[0]}
        *parts, change = (over_contexts(mean + 0.01 * random.normal() + move) for mean, move in moved.items())
        pair = SeedNoise.of([(of_part + of_change)[1:].tolist()])
        result = Lead(parts, change, pair).at(bootstrap, 1)
        return result["low"], result["high"]

    assert 0.95 <= coverage(world, 0.25) <= 1


def test_pooled_share_of_regressed_error():
    """Σ left² over Σ spread² of three dimensions of unequal size."""
    rows = np.full(CONTEXTS, 820.0)

    def world(random, bootstrap):
        sizes = np.array([9.0, 1.0, 0.1])
        square = rows[:, None] * sizes * varying(random, OF_ERROR, (CONTEXTS, 1))
        left = 0.9 * square * varying(random, 0.05, (CONTEXTS, 3))
        pair = pooled_sums(rows, np.zeros((CONTEXTS, 3)), square, left)
        result = ContextBootstrap(CONTEXTS, **bootstrap).interval(lambda weights: 1 - mean_of_ratios(weights, pair))
        return result.low, result.high

    assert 0.92 <= coverage(world, 0.1) <= 0.97


def test_mean_over_dimensions_of_r2():
    """Of 60 dimensions of unequal size and R², resampled to first order: as it is judged."""
    rows, sizes = np.full(CONTEXTS, 820.0), np.geomspace(30, 0.1, 60)
    shares = np.linspace(0.1, 0.9, 60)

    def world(random, bootstrap):
        square = rows[:, None] * sizes * varying(random, OF_ERROR, (CONTEXTS, 1)) * varying(random, 0.2, (CONTEXTS, 60))
        left = square * shares * varying(random, 0.05, (CONTEXTS, 1)) * varying(random, 0.05, (CONTEXTS, 60))
        pair = unexplained_sums(rows, np.zeros((CONTEXTS, 60)), square, left)
        found = ContextBootstrap(CONTEXTS, **bootstrap).interval(lambda weights: 1 - mean_of_ratios(weights, pair))
        term = of_interval("context", found.value, (found.low, found.high), CONTEXTS, LEVEL)
        result = combined(found.value, [term], LEVEL)
        return result["low"], result["high"]

    assert 0.93 <= coverage(world, 0.5) <= 0.97


def test_bootstrap_of_few_saes_does_not_cover():
    """Why there is a t interval: a bootstrap of two SAEs spans at most from one to the other."""

    def world(random, bootstrap):
        units = ContextBootstrap(2, **bootstrap)
        values = random.normal(size=2)
        result = units.interval(lambda weights: weights @ values / weights.sum(1))
        return result.low, result.high

    assert coverage(world, 0) < 0.6


def test_terms_are_stated_and_an_absent_one_with_its_reason():
    result = combined(1.0, [of_interval("context", 1.0, (0.8, 1.4), 40, LEVEL)], LEVEL, {"seed": "one seed"})
    assert result["resampled"] == "context" and result["absent"] == {"seed": "one seed"}
    assert result["intervals"]["context"] == {"low": result["low"], "high": result["high"]}
    assert (1 - result["low"]) / 0.2 == pytest.approx((result["high"] - 1) / 0.4) == pytest.approx(1.0452, abs=1e-3)
    few = contexts_and_saes(1.0, (0.8, 1.4), 40, [0.9, 1.1], LEVEL)
    assert few["resampled"] == "context" and "2 SAEs leave 1 degrees" in few["absent"]["sae"]
    many = contexts_and_saes(1.0, (0.8, 1.4), 40, [0.9, 1.1, 1.0, 0.8, 1.2], LEVEL)
    assert many["resampled"] == "context, sae" and many["absent"] == {"seed": SEED_HELD}
    assert interval(1.0, [], LEVEL) == (1.0, 1.0)
