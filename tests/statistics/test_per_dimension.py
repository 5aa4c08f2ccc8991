"""Means over dimensions from two sums of each context: exact on the data, and to first order resampled."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from darkmatter.regression.splits import ROW_SETS
from darkmatter.statistics import metrics
from darkmatter.statistics.bootstrap import ContextBootstrap, LeftOut, each_once
from darkmatter.statistics.per_dimension import (
    error_sums,
    fvu_key,
    fvu_nonlinear_key,
    mean_of_ratios,
    ratio_sums,
    spread,
    unexplained_key,
    unexplained_sums,
)


def sums_of(contexts: int, dimensions: int, seed: int = 0) -> tuple[np.ndarray, ...]:
    """Rows, Σ t, Σ t² and Σ (t − t̂)²; contexts and dimensions differ in scale, and means are not zero."""
    random = np.random.default_rng(seed)
    rows = random.integers(5, 40, contexts).astype(float)
    scale = np.exp(random.normal(size=dimensions)) * np.exp(0.3 * random.normal(size=(contexts, 1)))
    mean = random.normal(size=dimensions) + 0.3 * random.normal(size=(contexts, dimensions))
    square = rows[:, None] * scale**2 * random.gamma(4, 0.25, (contexts, dimensions)) + rows[:, None] * mean**2
    left = rows[:, None] * scale**2 * random.gamma(4, 0.1, (contexts, dimensions))
    return rows, rows[:, None] * mean, square, left


@given(st.integers(2, 40), st.integers(1, 30), st.integers(0, 99))
def test_exact_on_the_data(contexts, dimensions, seed):
    sums = sums_of(contexts, dimensions, seed)
    weights = each_once(contexts)
    known = metrics.r2_mean(weights, *sums)
    np.testing.assert_allclose(1 - mean_of_ratios(weights, unexplained_sums(*sums)), known, rtol=1e-10, atol=1e-12)


def test_first_order_in_the_weights():
    """Ten times smaller a change of weights leaves a hundred times smaller a difference."""
    rows, total, square, left = sums_of(60, 20)
    pair, direction = unexplained_sums(rows, total, square, left), np.random.default_rng(1).normal(size=60)
    apart = [
        abs(float((1 - mean_of_ratios(w, pair) - metrics.r2_mean(w, rows, total, square, left))[0]))
        for w in (1 + size * direction[None] for size in (1e-1, 1e-2))
    ]
    assert 30 < apart[0] / apart[1] < 300 and apart[1] < 1e-4


def largest_shift(sums: tuple[np.ndarray, ...]) -> float:
    """By how much an end of the interval differs from that of the mean resampled whole, as a share of the width."""
    units = ContextBootstrap(len(sums[0]), resamples=2000, level=0.95, seed=0)
    pair = unexplained_sums(*sums)
    whole = units.interval(lambda weights: metrics.r2_mean(weights, *sums))
    ours = units.interval(lambda weights: 1 - mean_of_ratios(weights, pair))
    assert ours.value == pytest.approx(whole.value, abs=1e-12)
    return max(abs(ours.low - whole.low), abs(ours.high - whole.high)) / (whole.high - whole.low)


def test_intervals_are_nearly_those_of_the_mean_resampled_whole():
    """As an SAE's error has it: contexts differ in all dimensions alike by more than in one alone."""
    random = np.random.default_rng(0)
    rows = random.integers(50, 150, 60).astype(float)
    scale, level = random.gamma(2.0, size=40), random.gamma(20, 1 / 20, size=(60, 1))
    square = rows[:, None] * scale * level * random.gamma(8, 1 / 8, size=(60, 40))
    total = 0.05 * rows[:, None] * np.sqrt(scale) * random.standard_normal((60, 40))
    share = random.beta(4, 4, size=40) * random.gamma(15, 1 / 15, size=(60, 1))
    assert largest_shift((rows, total, square, square * share)) < 0.03


def test_where_dimensions_differ_apart_what_first_order_leaves_out_adds_up():
    """Noise of independent dimensions averages out, the curvature of their ratios does not: a shift that shows."""
    assert 0.03 < max(largest_shift(sums_of(100, 60, seed)) for seed in range(5)) < 0.15


def test_weights_that_leave_one_out():
    rows, total, square, left = sums_of(12, 5)
    pair = unexplained_sums(rows, total, square, left)
    np.testing.assert_allclose(mean_of_ratios(LeftOut(12), pair), mean_of_ratios(1 - np.eye(12), pair), rtol=1e-12)


def test_dimensions_without_variance_are_left_out():
    rows, total, square, left = sums_of(20, 6)
    constant = 7.5 * rows[:, None]
    more = [np.hstack(parts) for parts in ((total, constant), (square, 7.5 * constant), (left, 0 * constant + 3))]
    np.testing.assert_allclose(unexplained_sums(rows, *more), unexplained_sums(rows, total, square, left), rtol=1e-12)
    nothing = unexplained_sums(rows, constant, 7.5 * constant, 0 * constant + 3)
    assert np.isnan(mean_of_ratios(each_once(20), nothing)).all()


def test_nothing_left_is_zero_and_no_division():
    rows, total, square, left = sums_of(20, 6)
    weights = np.random.default_rng(0).multinomial(20, np.full(20, 0.05), 50).astype(float)
    assert (mean_of_ratios(weights, unexplained_sums(rows, total, square, 0 * left)) == 0).all()


def test_spread_adds_up_to_the_centred_sum_of_squares():
    rows, total, square, _ = sums_of(30, 8)
    known = metrics.centred(each_once(30), rows, total, square)[0]
    np.testing.assert_allclose(spread(rows, total, square).sum(0), known, rtol=1e-10)


def test_every_number_of_an_sae_is_over_its_own_rows():
    """Against rows: FVU over each row set, FVU_nonlinear and R² over held-out rows, the published ones over all."""
    random = np.random.default_rng(0)
    sets = np.stack([random.random((9, 7)) < 0.6, np.repeat(np.arange(9)[:, None] % 2 == 0, 7, 1), np.ones((9, 7))])
    sets = sets.astype(float)
    x, error = random.normal(size=(9, 7, 4)) + 2, random.normal(size=(9, 7, 4))
    left = {f"{split}/{way}": random.normal(size=x.shape) for split in ROW_SETS[:2] for way in ("paper", "authors")}
    total = lambda values: np.einsum("sct,ctd->scd", sets, values)  # noqa: E731
    x_sums = {"rows": sets.sum(-1), "x_sum": total(x), "x_square": total(x**2)}
    sums = {"error_sum": total(error), "error_square": total(error**2)}
    sums |= {f"nonlinear/{key}": total(values**2) for key, values in left.items()}
    pairs = error_sums(x_sums, sums)

    def known(target: np.ndarray, residual: np.ndarray, row_set: str) -> float:
        taken = sets[ROW_SETS.index(row_set)] > 0
        rows = target[taken]
        return float(((residual[taken] ** 2).sum(0) / ((rows - rows.mean(0)) ** 2).sum(0)).mean())

    expected = {fvu_key(name): known(x, error, name) for name in ROW_SETS}
    for key, values in left.items():
        split, way = key.split("/")
        expected[unexplained_key(split, way)] = known(error, values, split)
        expected[fvu_nonlinear_key(split, way)] = known(x, values, split if way == "paper" else "all")
    assert pairs.keys() == expected.keys()
    for key, pair in pairs.items():
        assert pair.shape == (2, 5 if key.endswith(("context", "context/paper")) or "unexplained/context" in key else 9)
        np.testing.assert_allclose(pair.sum(1), expected[key], rtol=1e-10)


def test_a_ratio_of_two_sums_needs_no_mean():
    above, below = (np.random.default_rng(seed).gamma(2, size=(15, 4)) for seed in (0, 1))
    known = (above.sum(0) / below.sum(0)).mean()
    assert mean_of_ratios(each_once(15), ratio_sums(above, below))[0] == pytest.approx(known, rel=1e-12)
