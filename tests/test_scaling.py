"""Eq. 13 for pairs of SAEs, against scipy and in limiting cases."""

import numpy as np
import pytest
import scipy.stats

from darkmatter.scaling import VARIANTS, all_pairs, fit_line, scaling_r2
from darkmatter.splits import draw_splits

BOOTSTRAP = {"resamples": 100, "level": 0.95, "seed": 0}
SPLITS = draw_splits(10, 40, 0.6, 5, 0)
RANDOM = np.random.default_rng(0)
FIRST = RANDOM.gamma(3.0, size=(10, 40))


def test_line_equals_scipy_and_goes_through_the_origin_without_intercept():
    x, y = FIRST.ravel(), FIRST.ravel() * 2 + RANDOM.standard_normal(400)
    expected = scipy.stats.linregress(x, y)
    assert fit_line(x, y, True) == pytest.approx((expected.slope, expected.intercept))
    slope, intercept = fit_line(x, y, False)
    assert intercept == 0
    assert slope == pytest.approx((x @ y) / (x @ x))


@pytest.mark.parametrize("variant", VARIANTS)
@pytest.mark.parametrize("split", ["token", "context"])
def test_proportional_errors_are_predicted_exactly(variant, split):
    assert scaling_r2(FIRST, 0.5 * FIRST, SPLITS, split, variant, BOOTSTRAP)["value"] == pytest.approx(1)


def test_unrelated_errors_are_not_predicted():
    unrelated = RANDOM.gamma(3.0, size=FIRST.shape)
    found = scaling_r2(FIRST, unrelated, SPLITS, "token", "paper", BOOTSTRAP)
    assert found["value"] < 0.05
    assert found["rows"] == 160


def test_intercept_helps_where_there_is_one():
    shifted = FIRST + 50
    with_it, without = (scaling_r2(FIRST, shifted, SPLITS, "token", v, BOOTSTRAP) for v in ("paper", "through_origin"))
    assert with_it["value"] == pytest.approx(1)
    assert without["value"] < 0


def test_pairs_go_from_narrow_to_wide_only():
    saes = [{"name": name, "d_sae": width} for name, width in (("c", 64), ("a", 16), ("b", 32), ("b2", 32))]
    pairs = all_pairs(saes, {sae["name"]: FIRST for sae in saes}, SPLITS, BOOTSTRAP)
    assert [(pair["sae_1"], pair["sae_2"]) for pair in pairs] == [
        ("a", "b"), ("a", "b2"), ("a", "c"), ("b", "c"), ("b2", "c"),
    ]  # fmt: skip
