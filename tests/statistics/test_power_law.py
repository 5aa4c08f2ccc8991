import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from darkmatter.statistics.power_law import PowerLaw, endings, fit_power_law, profile_rss, solve

WIDTHS = np.array([512, 1024, 2048, 4096, 8192, 16384, 32768], dtype=float)


def planted(W: np.ndarray, c: float, a: float, m: float) -> np.ndarray:
    return c + a * W**-m


@settings(max_examples=15)
@given(c=st.floats(0.01, 0.4), a=st.floats(1.0, 8.0), m=st.floats(0.25, 1.0))
def test_recovers_planted_parameters(c: float, a: float, m: float) -> None:
    law = fit_power_law(WIDTHS, planted(WIDTHS, c, a, m), starts=20, seed=0)
    assert law.asymptote == pytest.approx(c, abs=1e-5)
    assert law.scale == pytest.approx(a, rel=1e-3)
    assert law.exponent == pytest.approx(m, rel=1e-3)
    assert law.low <= law.asymptote <= law.high
    np.testing.assert_allclose(law.predict(WIDTHS), planted(WIDTHS, c, a, m), atol=1e-7)


def test_all_starts_end_at_the_same_optimum_on_clean_data() -> None:
    law = fit_power_law(WIDTHS, planted(WIDTHS, 0.12, 3.0, 0.45), starts=200, seed=1)
    assert law.starts == 200
    assert law.starts_agreeing == 1.0


def test_a_start_at_the_bound_ends_at_the_optimum_too() -> None:
    """From m = M_MAX with no excess, too, what is left of the squares is rounding, under any release of SciPy."""
    u = WIDTHS / np.exp(np.log(WIDTHS).mean())
    y = planted(WIDTHS, 0.12, 3.0, 0.45)
    rounding = len(y) * (np.finfo(float).eps * y.max()) ** 2
    for start in ((float(y.max()), 0.0, 7.9), (0.1, 0.05, 0.4)):
        loss, asymptote, *_ = solve(u, y, *start)
        assert loss <= rounding
        assert asymptote == pytest.approx(0.12, abs=1e-5)


def test_endings_count_every_start_and_begin_with_the_best_fit() -> None:
    y = planted(WIDTHS, 0.12, 3.0, 0.45)
    result = endings(WIDTHS, y, 50, seed=1)
    law = fit_power_law(WIDTHS, y, 50, seed=1)
    assert sum(ending.starts for ending in result) == 50
    assert result[0].starts == 50 * law.starts_agreeing
    assert result[0].asymptote == pytest.approx(law.asymptote)
    assert result[0].exponent == pytest.approx(law.exponent)
    assert not result[0].flat


def test_flat_endings_are_told_from_falling_ones() -> None:
    """On rising data the best law is the mean: every start ends flat."""
    result = endings(WIDTHS, 0.1 + 0.02 * np.log(WIDTHS / 512), 20, seed=0)
    assert sum(ending.starts for ending in result if ending.flat) == 20
    assert [ending.rss for ending in result] == sorted(ending.rss for ending in result)


@pytest.mark.parametrize(("points", "spread"), [(2, 0.1), (5, 0.0)])
def test_endings_of_what_fixes_no_power_law_are_refused(points: int, spread: float) -> None:
    with pytest.raises(ValueError, match="fix no power law"):
        endings(WIDTHS[:points], 0.2 + spread * np.arange(points), 5, seed=0)


def test_same_seed_same_bits() -> None:
    y = planted(WIDTHS, 0.1, 2.0, 0.4) + 0.004 * np.random.default_rng(0).normal(size=7)
    assert fit_power_law(WIDTHS, y, 15, seed=3) == fit_power_law(WIDTHS, y, 15, seed=3)


def test_flat_data_has_no_exponent() -> None:
    law = fit_power_law(WIDTHS, np.full(7, 0.2), starts=5, seed=0)
    assert law.asymptote == pytest.approx(0.2, abs=1e-12)
    assert (law.scale, law.exponent) == (0.0, None)
    assert "do not change with width" in law.reason
    np.testing.assert_array_equal(law.predict(WIDTHS), np.full(7, law.asymptote))


def test_rising_data_is_fitted_by_a_constant() -> None:
    """a > 0 allows no rise: the best law is the mean, whatever the exponent."""
    y = 0.1 + 0.02 * np.log(WIDTHS / 512)
    law = fit_power_law(WIDTHS, y, starts=10, seed=0)
    np.testing.assert_allclose(law.predict(WIDTHS), y.mean(), atol=1e-6)


@pytest.mark.parametrize("points", [0, 1, 2])
def test_fewer_points_than_parameters_is_an_explicit_null(points: int) -> None:
    law = fit_power_law(WIDTHS[:points], planted(WIDTHS, 0.1, 2, 0.4)[:points], starts=5, seed=0)
    assert law.asymptote is law.low is law.high is law.predict(WIDTHS) is None
    assert f"{points} widths cannot fix" in law.reason


def test_repeated_widths_do_not_count_twice() -> None:
    law = fit_power_law(np.array([512, 512, 1024, 1024]), np.array([0.5, 0.51, 0.4, 0.41]), starts=5, seed=0)
    assert law.asymptote is None


def test_three_points_give_a_value_without_interval() -> None:
    law = fit_power_law(WIDTHS[:3], planted(WIDTHS, 0.1, 2, 0.4)[:3], starts=20, seed=0)
    assert law.asymptote == pytest.approx(0.1, abs=1e-4)
    assert law.low is law.high is None
    assert "no interval" in law.reason


@pytest.mark.parametrize("y", [[0.1, np.nan, 0.2], [0.1, 0.2]])
def test_unusable_values_are_refused(y: list[float]) -> None:
    with pytest.raises(ValueError, match="power law needs"):
        fit_power_law(WIDTHS[:3], np.array(y), starts=2, seed=0)


def test_interval_is_honest_about_zero() -> None:
    """Data without an asymptote, with scatter: the interval reaches 0 and says so; its twin does not."""
    noise = 0.002 * np.random.default_rng(0).normal(size=7)
    without = fit_power_law(WIDTHS, planted(WIDTHS, 0.0, 2.0, 0.25) + noise, starts=20, seed=0)
    assert without.includes_zero and without.low == 0.0
    with_one = fit_power_law(WIDTHS, planted(WIDTHS, 0.3, 8.0, 0.7) + noise, starts=20, seed=0)
    assert not with_one.includes_zero and with_one.low > 0.25


def test_profile_agrees_with_least_squares_at_a_fixed_asymptote() -> None:
    u = WIDTHS / np.exp(np.log(WIDTHS).mean())
    y = planted(WIDTHS, 0.1, 2.0, 0.4) + 0.004 * np.random.default_rng(5).normal(size=7)
    rss, c, _, _ = min(solve(u, y, start, 0.1, 0.4) for start in (0.02, 0.1, 0.2))
    assert profile_rss(u, y, np.array([c]))[0] == pytest.approx(rss, rel=1e-3)
    around = profile_rss(u, y, np.array([c - 0.01, c + 0.01]))
    assert (around >= rss).all()


def simulate(c: float, noise: float, runs: int) -> list[PowerLaw]:
    rng = np.random.default_rng(7)
    y = planted(WIDTHS, c, 3.0, 0.5)
    return [fit_power_law(WIDTHS, y + noise * rng.normal(size=len(y)), 6, seed=0) for _ in range(runs)]


def test_interval_covers_the_planted_asymptote() -> None:
    laws = simulate(0.15, 0.003, 150)
    coverage = np.mean([law.low <= 0.15 <= law.high for law in laws])
    assert 0.89 <= coverage <= 0.995, coverage
    wrong = np.mean([law.low <= 0.30 <= law.high for law in laws])
    assert wrong < 0.2, wrong
