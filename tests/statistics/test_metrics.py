"""R² and FVU from sums over contexts against their definitions on rows."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from darkmatter.statistics import metrics
from darkmatter.statistics.sae_estimates import ContextBootstrap, estimate


def case(seed, contexts=6, rows=11, dims=3, offset=100.0):
    random = np.random.default_rng(seed)
    t = random.standard_normal((contexts, rows, dims)) + offset
    predicted = t + random.standard_normal(t.shape)
    weights = random.integers(0, 3, (2, contexts)).astype(float)
    weights[:, 0] += 1
    sums = (np.full(contexts, float(rows)), t.sum(1), (t**2).sum(1), ((t - predicted) ** 2).sum(1))
    return t, predicted, weights, sums


def resampled(array, weight):
    return np.concatenate([array[c] for c in range(len(array)) for _ in range(int(weight[c]))])


@given(st.integers(0, 2**32 - 1))
def test_r2_and_fvu_equal_their_definitions_on_resampled_rows(seed):
    t, predicted, weights, (rows, total, square, left) = case(seed)
    vector = metrics.r2_mean(weights, rows, total, square, left)
    scalar = metrics.r2(weights, rows, total[:, 0], square[:, 0], left[:, 0])
    pooled = metrics.fvu(weights, rows, square.sum(1), total @ total.T, left.sum(1))
    for number, weight in enumerate(weights):
        y, guess = resampled(t, weight), resampled(predicted, weight)
        sse, sst = ((y - guess) ** 2).sum(0), ((y - y.mean(0)) ** 2).sum(0)
        assert vector[number] == pytest.approx((1 - sse / sst).mean(), rel=1e-6)
        assert scalar[number] == pytest.approx(1 - sse[0] / sst[0], rel=1e-6)
        assert pooled[number] == pytest.approx(sse.sum() / sst.sum(), rel=1e-6)


def test_dimension_without_variance_is_left_out_not_averaged_in():
    _, _, _, (rows, total, square, left) = case(0, offset=0.0)
    ones = np.ones((1, 6))
    expected = metrics.r2_mean(ones, rows, total, square, left)[0]
    add = lambda sums, value: np.column_stack([sums, np.full(6, value)])  # noqa: E731
    with_constant = metrics.r2_mean(ones, rows, add(total, 11 * 5.0), add(square, 11 * 25.0), add(left, 1.0))
    assert with_constant[0] == pytest.approx(expected)


def test_target_without_variance_is_null_with_its_reason():
    rows = np.full(4, 5.0)
    statistic = lambda weights: metrics.r2(weights, rows, rows * 3, rows * 9, rows)  # noqa: E731
    result = estimate(ContextBootstrap(4, 100, 0.95, 0), statistic, rows, 1)
    assert result["value"] is None
    assert result["reason"] == "the target has no variance"
