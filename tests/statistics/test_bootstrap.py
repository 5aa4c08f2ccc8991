"""BCa intervals over contexts: equal to scipy's, and covering what they promise where tokens would not."""

import numpy as np
import pytest
import scipy.stats

from darkmatter.statistics import metrics
from darkmatter.statistics.bootstrap import MANY, TIE, ContextBootstrap, LeftOut, bca


def mean_over(sums, rows):
    return lambda weights: (weights @ sums) / (weights @ rows)


def test_equals_scipy():
    random = np.random.default_rng(0)
    rows = random.integers(5, 50, 40).astype(float)
    sums = random.gamma(2.0, size=40) * rows
    ours = ContextBootstrap(40, 20000, 0.95, 0).interval(mean_over(sums, rows))
    theirs = scipy.stats.bootstrap(
        (sums, rows), lambda s, r, axis: s.sum(axis) / r.sum(axis), paired=True, n_resamples=20000, rng=1, method="BCa"
    ).confidence_interval
    width = theirs.high - theirs.low
    assert ours.value == pytest.approx(sums.sum() / rows.sum())
    assert ours.low == pytest.approx(theirs.low, abs=0.03 * width)
    assert ours.high == pytest.approx(theirs.high, abs=0.03 * width)


def test_weights_are_counts_of_contexts_and_seeded():
    first, again, other = (ContextBootstrap(7, 50, 0.95, seed).weights for seed in (0, 0, 1))
    assert np.array_equal(first, again)
    assert not np.array_equal(first, other)
    assert (first.sum(1) == 7).all()


def test_covers_clustered_data_where_tokens_do_not():
    """Rows of a context share an effect: intervals over contexts cover the true mean, over tokens they do not."""
    random = np.random.default_rng(0)
    covered = {"contexts": 0, "tokens": 0}
    trials, contexts, tokens = 300, 40, 50
    for _ in range(trials):
        values = random.standard_normal((contexts, 1)) + random.standard_normal((contexts, tokens))
        by_context = ContextBootstrap(contexts, 400, 0.95, 0).interval(
            mean_over(values.sum(1), np.full(contexts, float(tokens)))
        )
        covered["contexts"] += by_context.low <= 0 <= by_context.high
        spread = 1.96 * values.std() / np.sqrt(values.size)
        covered["tokens"] += abs(values.mean()) <= spread
    assert covered["contexts"] / trials > 0.9
    assert covered["tokens"] / trials < 0.5


def test_undefined_statistic_has_no_interval():
    assert ContextBootstrap(5, 100, 0.95, 0).interval(lambda weights: np.full(len(weights), np.nan)) is None


def test_constant_statistic_has_a_point():
    assert bca(2.0, np.full(10, 2.0), np.full(5, 2.0), 0.95) == (2.0, 2.0)


def ratio_of_sums(sums, rows):
    """In one dimension and in several, as the statistics of a decomposition take their weights."""
    return lambda weights: (weights @ sums).sum(1) / (weights @ rows)


def test_many_contexts_have_the_same_interval_without_the_jackknife_weights(monkeypatch):
    random = np.random.default_rng(0)
    rows = random.integers(5, 50, MANY + 1).astype(float)
    sums = random.gamma(2.0, size=(MANY + 1, 3)) * rows[:, None]
    units = ContextBootstrap(MANY + 1, 200, 0.95, 0)
    with monkeypatch.context() as patch:
        patch.setattr("numpy.eye", lambda *a, **k: pytest.fail("n² weights"))
        result = units.interval(ratio_of_sums(sums, rows))
    monkeypatch.setattr("darkmatter.statistics.bootstrap.MANY", MANY + 1)
    dense = units.interval(ratio_of_sums(sums, rows))
    assert (result.low, result.high) == pytest.approx((dense.low, dense.high), rel=1e-12)
    assert result.value == dense.value


def test_left_out_weights_are_one_minus_the_identity():
    sums = np.random.default_rng(0).standard_normal((7, 3))
    assert np.array_equal(np.asarray(LeftOut(7)), 1 - np.eye(7)) and len(LeftOut(7)) == 7
    np.testing.assert_allclose(LeftOut(7) @ sums, (1 - np.eye(7)) @ sums, atol=1e-12)


def test_sums_of_contexts_stand_for_the_products_between_them():
    random = np.random.default_rng(0)
    total, rows = random.standard_normal((9, 4)), random.integers(5, 50, 9).astype(float)
    square = (total**2).sum(1) + 9.0
    weights = ContextBootstrap(9, 50, 0.95, 0).weights
    of_products = metrics.pooled_spread(weights, rows, square, total @ total.T)
    np.testing.assert_allclose(metrics.pooled_spread(weights, rows, square, metrics.ContextSums(total)), of_products)


def test_constant_but_for_rounding_is_a_point():
    assert bca(2.0, np.array([2 - 4e-16, 2.0, 2 + 4e-16]), np.full(5, 2.0), 0.95) == (2.0, 2.0)
    low, high = bca(2.0, np.array([2 - 1e-6, 2.0, 2 + 1e-6]), np.array([2 - 1e-6, 2 + 1e-6]), 0.95)
    assert low < 2 < high


@pytest.mark.parametrize("shift", [-1, 1])
def test_ties_do_not_hang_on_the_order_of_sums(shift):
    """Resamples that are the data again, off by one rounding: the interval of exact arithmetic, whichever the side."""
    random = np.random.default_rng(0)
    apart = random.permutation(np.arange(-900.0, 900.0)) / 1000 + 0.0005  # none ties
    exact = np.sort(np.concatenate([5 + apart, np.full(200, 5.0)]))
    moved = np.sort(np.where(exact == 5, 5 + shift * 2e-15, exact))
    left_out = 5 + random.gamma(2.0, size=30)
    assert bca(5.0, moved, left_out, 0.95) == pytest.approx(bca(5.0, exact, left_out, 0.95), rel=1e-12)


def test_values_near_the_estimate_are_no_ties():
    """Efron's bias correction by its definition, where values lie closer to the estimate than the data's digits go."""
    random = np.random.default_rng(1)
    value, drawn = 3.0, np.sort(3 + 1e3 * TIE * (1 + random.random(500)))
    drawn[:100] = np.sort(3 - 1e3 * TIE * (1 + random.random(100)))
    left_out = 3 + random.standard_normal(20)
    deviation = left_out.mean() - left_out
    acceleration = (deviation**3).sum() / (6 * (deviation**2).sum() ** 1.5)
    normal, bias = scipy.stats.norm, scipy.stats.norm.ppf(100 / 500)
    ends = [bias + normal.ppf(tail) for tail in (0.025, 0.975)]
    shares = [normal.cdf(bias + end / (1 - acceleration * end)) for end in ends]
    assert bca(value, drawn, left_out, 0.95) == pytest.approx(tuple(np.quantile(drawn, shares)), rel=1e-13)
