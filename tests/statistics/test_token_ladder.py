"""Two power laws, in tokens and then in width: found where they hold, withheld where not, and how often they cover."""

import numpy as np
import pytest

import darkmatter.statistics.token_ladder as token_ladder
from darkmatter.statistics.rungs import Rungs, limits
from darkmatter.statistics.token_ladder import NUMBERS, LadderFit, fit_ladder, ladder_statistic
from darkmatter.statistics.variance_model import interval

LEVEL = 0.95
BUDGETS = (800_000, 3_200_000, 12_800_000)
WIDTHS = (512, 1024, 2048, 4096, 8192)
TRUTH = {"asymptote": 0.10, "line": 0.09, "gap": 0.01}


def design(seeds: bool = True) -> Rungs:
    """Five widths on three budgets, a sixth on two, and two more seeds of three widths on the middle one."""
    rows = [(width, budget, 0) for budget in BUDGETS for width in WIDTHS]
    rows += [(16384, budget, 0) for budget in BUDGETS[:2]]
    rows += [(width, BUDGETS[1], seed) for width in WIDTHS[:3] for seed in (1, 2)] if seeds else []
    return Rungs(*np.array(rows).T)


def world(rungs: Rungs) -> np.ndarray:
    """FVU and FVU_nonlinear without noise."""
    training = (rungs.tokens / BUDGETS[-1]) ** -0.5
    fvu = TRUTH["asymptote"] + 2.7 * rungs.width**-0.5 + 0.02 * (rungs.width / 2048) ** 0.2 * training
    return np.stack([fvu, TRUTH["line"] + 0.004 * training])


def noisy(values: np.ndarray, seed: int, size: float = 0.004) -> np.ndarray:
    """Seeds move both numbers of an SAE together, for the most part."""
    moves = np.random.default_rng(seed).standard_normal(values.shape)
    moves[1] = 0.8 * moves[0] + 0.6 * moves[1]
    return values * (1 + size * moves)


def ends(fit: LadderFit, name: str) -> tuple[float, float]:
    return interval(fit.numbers[name], [fit.noise[name]], LEVEL)


def test_without_noise_both_laws_are_found():
    rungs = design()
    fit = fit_ladder(rungs, world(rungs), LEVEL, 0)
    assert fit.reason is None
    for name, value in TRUTH.items():
        assert fit.numbers[name] == pytest.approx(value, abs=2e-5)
        assert np.diff(ends(fit, name)) < 1e-3
    assert fit.limits.exponent == pytest.approx(0.5, abs=1e-3) and fit.exponent == pytest.approx(0.5, abs=1e-3)
    np.testing.assert_allclose(fit.limits.value[0], TRUTH["asymptote"] + 2.7 * rungs.widths**-0.5, atol=1e-5)
    np.testing.assert_allclose(fit.limits.fitted, world(rungs), atol=1e-5)


def test_the_next_doubling_is_that_of_the_law():
    rungs = design()
    fit = fit_ladder(rungs, world(rungs), LEVEL, 0)
    assert fit.doubling["line"] == pytest.approx(0.004 * (2**-0.5 - 1), abs=1e-5)
    assert fit.doubling["gap"] == pytest.approx(fit.doubling["asymptote"] - fit.doubling["line"])


def test_the_truth_is_inside_as_often_as_the_level_says(monkeypatch):
    """60 ladders; of 95 % intervals fewer than 52 hold the truth once in a hundred such tests."""
    monkeypatch.setattr(token_ladder, "DRAWS", 200)
    rungs = design()
    truth, ladders = world(rungs), 60
    shown, inside = 0, dict.fromkeys(NUMBERS, 0)
    for seed in range(ladders):
        fit = fit_ladder(rungs, noisy(truth, seed), LEVEL, seed)
        if fit.reason:
            continue
        shown += 1
        for name in NUMBERS:
            low, high = ends(fit, name)
            inside[name] += low <= TRUTH[name] <= high
            assert high - low < 0.1
    assert shown >= 0.9 * ladders
    assert min(inside.values()) >= shown * 52 / 60


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ("overtrained", "power law in tokens for all widths does not hold"),
        ("bump", "do not follow one power law in width"),
        ("fall without an end", "do not show that there is an asymptote"),
    ],
)
def test_a_world_without_the_laws_gives_no_asymptote(change, reason):
    rungs = design()
    truth = world(rungs)
    if change == "overtrained":  # the top rung repeats its rows until FVU of held-out text rises
        truth[:, rungs.tokens == BUDGETS[-1]] *= 1.12
    elif change == "bump":
        truth[0][rungs.width == 2048] *= 1.06
    else:  # falls to nothing, slowly
        truth[0] = 0.6 * rungs.width**-0.15 + 0.02 * (rungs.tokens / BUDGETS[-1]) ** -0.5
    withheld = [fit_ladder(rungs, noisy(truth, seed, 0.003), LEVEL, seed) for seed in range(5)]
    assert not any(fit.noise for fit in withheld)
    assert any(reason in str(fit.reason) for fit in withheld)


def test_what_a_ladder_lacks_is_said():
    rungs = design(seeds=False)
    assert "differ in their seed alone" in str(rungs.lacking)
    with pytest.raises(ValueError, match="seed alone"):
        fit_ladder(rungs, world(rungs), LEVEL, 0)
    two = Rungs(*(array[rungs.tokens < BUDGETS[-1]] for array in (rungs.width, rungs.tokens, rungs.seed)))
    assert "were trained on 3 budgets" in str(two.lacking)
    assert design().lacking is None


def test_more_noise_makes_wider_intervals():
    rungs = design()
    widths = [
        np.diff(ends(fit_ladder(rungs, noisy(world(rungs), 3, size), LEVEL, 0), "asymptote"))[0]
        for size in (0.001, 0.003)
    ]
    assert widths[1] == pytest.approx(3 * widths[0], rel=0.3)


def test_the_statistic_of_resamples_is_the_fit_of_each():
    rungs = design()
    values = np.stack([noisy(world(rungs), seed, 0.002) for seed in range(3)], axis=-1)  # [number, sae, resample]
    fits = [fit_ladder(rungs, values[..., row], LEVEL, 0) for row in range(3)]
    for name in NUMBERS:
        resampled = ladder_statistic(rungs, fits[0].weights, name)(values.reshape(-1, 3))
        assert resampled[0] == pytest.approx(fits[0].numbers[name], rel=1e-9)
        assert resampled == pytest.approx([fit.numbers[name] for fit in fits], abs=2e-3)


def test_a_width_on_two_budgets_takes_the_exponent_of_the_others():
    rungs = design()
    two = rungs.widths.tolist().index(16384)
    assert limits(rungs, world(rungs)).value[0, two] == pytest.approx(TRUTH["asymptote"] + 2.7 * 16384**-0.5, abs=1e-4)
