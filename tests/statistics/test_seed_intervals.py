"""One value per seed as one estimate: the t interval of their mean, cut where the quantity ends."""

import numpy as np
import pytest
import scipy.stats

from darkmatter.statistics.seed_intervals import seed_estimate


@pytest.mark.parametrize("count", [2, 3, 5, 20])
@pytest.mark.parametrize("level", [0.9, 0.95, 0.99])
def test_the_interval_is_that_of_scipy(count, level):
    values = np.random.default_rng(count).normal(size=count)
    found = seed_estimate(list(values), level, rows=7, rank=3)
    low, high = scipy.stats.t.interval(level, count - 1, loc=values.mean(), scale=scipy.stats.sem(values))
    assert (found["value"], found["low"], found["high"]) == pytest.approx((values.mean(), low, high), rel=1e-12)
    assert found["by_seed"] == list(values) and (found["seeds"], found["rows"], found["rank"]) == (count, 7, 3)


def test_an_interval_ends_where_the_quantity_does_and_holds_its_value():
    found = seed_estimate([0.99, 0.98, 0.9], 0.95, 7, None, bounds=(-1.0, 1.0))
    assert found["low"] < found["value"] < found["high"] == 1.0


@pytest.mark.parametrize(
    ("values", "reason"), [([0.5, None], "no variance"), ([0.5, float("nan")], "no variance"), ([0.5], "two of them")]
)
def test_a_missing_value_or_a_single_seed_makes_it_null(values, reason):
    found = seed_estimate(values, 0.95, 7, None, reason="no variance")
    assert (found["value"], found["low"], found["high"]) == (None, None, None) and reason in found["reason"]
