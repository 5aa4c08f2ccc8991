"""Paired intervals, against resampling rows of data by hand."""

import numpy as np
import pytest

from darkmatter.statistics.bootstrap import ContextBootstrap
from darkmatter.statistics.paired_r2 import ScoredRegression, alone, difference, slope, together

BOOTSTRAP = {"resamples": 300, "level": 0.9, "seed": 3}
CONTEXTS, POSITIONS = 12, 9


def scored(y, prediction, mask=None):
    mask = np.ones(y.shape) if mask is None else mask
    columns = (np.ones_like(y), y, y**2, (y - prediction) ** 2)
    return ScoredRegression(*((column * mask).sum(1) for column in columns), rank=1)


def naive_r2(y, prediction):
    return 1 - np.sum((y - prediction) ** 2) / np.sum((y - y.mean()) ** 2)


@pytest.fixture
def data():
    random = np.random.default_rng(0)
    y = random.standard_normal((CONTEXTS, POSITIONS)) + random.standard_normal((CONTEXTS, 1))
    return y, y + 0.3 * random.standard_normal(y.shape), y + 0.6 * random.standard_normal(y.shape)


def test_each_resample_gives_both_regressions_at_once(data):
    y, near, far = data
    result = difference(scored(y, near), scored(y, far), BOOTSTRAP)
    assert result["value"] == pytest.approx(naive_r2(y, near) - naive_r2(y, far))
    assert (result["rows"], result["contexts"]) == (CONTEXTS * POSITIONS, CONTEXTS)
    weights = ContextBootstrap(CONTEXTS, **BOOTSTRAP).weights[:20]
    naive = []
    for row in weights.astype(int):
        drawn = np.repeat(np.arange(CONTEXTS), row)
        naive.append(naive_r2(y[drawn], near[drawn]) - naive_r2(y[drawn], far[drawn]))
    everything = np.arange(CONTEXTS)
    fast = scored(y, near).r2(weights, everything) - scored(y, far).r2(weights, everything)
    np.testing.assert_allclose(fast, naive)


def test_difference_with_itself_is_nothing_in_every_resample(data):
    y, near, _ = data
    result = difference(scored(y, near), scored(y, near), BOOTSTRAP)
    assert (result["value"], result["low"], result["high"]) == (0, 0, 0)


def test_largest_is_resampled_as_one(data):
    y, near, far = data
    largest = together([scored(y, near), scored(y, far)], lambda r2: r2.max(0), BOOTSTRAP)
    assert largest["value"] == alone(scored(y, near), BOOTSTRAP)["value"]
    assert largest["low"] >= alone(scored(y, far), BOOTSTRAP)["low"]


def test_contexts_without_rows_are_not_resampled(data):
    y, near, _ = data
    mask = np.ones_like(y)
    mask[4:] = 0
    result = alone(scored(y, near, mask), BOOTSTRAP)
    assert result["contexts"] == 4
    assert result["value"] == pytest.approx(naive_r2(y[:4], near[:4]))


def test_one_part_without_variance_makes_the_whole_null(data):
    y, near, _ = data
    constant = np.ones_like(y)
    result = difference(scored(y, near), scored(constant, constant), BOOTSTRAP)
    assert result["value"] is None
    assert result["reason"] == "the target has no variance"


def test_slope_with_one_offset_for_each_group():
    x, group = np.array([0.0, 1, 2, 0, 1]), ["a", "a", "a", "b", "b"]
    y = np.stack([3 * x + np.array([0, 0, 0, 50, 50]), -x], axis=1)
    np.testing.assert_allclose(slope(x, y, group), [3, -1])
    np.testing.assert_allclose(slope(x, y), [np.polyfit(x, y[:, 0], 1)[0], -1])
    assert np.isnan(slope(np.ones(3), np.ones((3, 2)))).all()
