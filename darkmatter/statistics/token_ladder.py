"""What FVU and FVU_nonlinear tend to with training and then with width, from SAEs of several widths and budgets.

Tokens first: the limits of `rungs`. Then width: `y∞ = c + a·W^−m`, weighted by how well the rungs fix each y∞; or, for
what has no trend in width, the mean of all y∞. A number with two laws in it has an interval only where both hold: where
the scatter about them is larger than that of the training seed, or where the noise leaves no asymptote, the numbers are
withheld, with the reason.

The noise is that of SAEs which differ in their seed alone, relative to their value and so the same for every width and
budget. What it does to a number is simulated: the fitted values with new noise, both steps again.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float
from scipy.stats import f as f_distribution
from scipy.stats import norm as normal_distribution

from darkmatter.statistics.asymptotes import fit_of_asymptotes
from darkmatter.statistics.rungs import P_MIN, Limits, Rungs, limits, weights_of
from darkmatter.statistics.variance_model import Term

DRAWS = 2000  # of the noise
MISFIT = 0.01  # a law that worse scatter than this would be as likely as is not believed
ROUNDING = 1e-5  # relative: SAEs that differ by less differ by the last digits
AT_BOUND = 0.025  # share of draws that may end without an asymptote
NUMBERS = ("asymptote", "line", "gap")

Weights = tuple[np.ndarray, np.ndarray]  # of the widths in the second step, for FVU and FVU_nonlinear


@dataclass(frozen=True)
class TrainingNoise:
    """The relative noise of the training seed in several numbers of one SAE, which move together.

    Attributes:
        covariance: [number, number].
        freedom: degrees of freedom that it is known with.
    """

    covariance: np.ndarray
    freedom: int

    def draw(self, fitted: Float[np.ndarray, "number sae"], draws: int, seed: int) -> np.ndarray:
        """Values with new noise, [draw, number, sae]."""
        random = np.random.default_rng(seed)
        variance, axes = np.linalg.eigh(self.covariance)
        root = axes * np.sqrt(np.maximum(variance, 0))
        moves = random.standard_normal((draws, fitted.shape[1], len(fitted))) @ root.T
        return fitted * (1 + moves.transpose(0, 2, 1))


def noise_of(rungs: Rungs, y: Float[np.ndarray, "number sae"], fitted: np.ndarray) -> TrainingNoise | str:
    """The seeds' noise and the scatter about the law in tokens together; or why they cannot be one.

    Where the scatter is the larger by more than chance allows, the law does not hold.
    """
    left = y / fitted - 1
    pure = np.concatenate([left[:, own] - left[:, own].mean(1, keepdims=True) for own in rungs.alike], axis=1)
    pure_freedom = sum(len(own) - 1 for own in rungs.alike)
    freedom = y.shape[1] - 2 * len(rungs.widths) - 1
    fit_freedom = freedom - pure_freedom
    for own, all_of_it in zip(pure, left, strict=True):
        seeds = max(own @ own, ROUNDING**2) / pure_freedom
        ratio = (all_of_it @ all_of_it - own @ own) / fit_freedom / seeds
        if f_distribution.sf(ratio, fit_freedom, pure_freedom) < MISFIT:
            return (
                "one power law in tokens for all widths does not hold: the SAEs scatter about it "
                f"{math.sqrt(ratio):.1f} times as far as those that differ in their seed alone"
            )
    return TrainingNoise(left @ left.T / freedom, freedom)


@dataclass(frozen=True)
class LadderFit:
    """Both steps for FVU and FVU_nonlinear.

    Attributes:
        limits: of both numbers, FVU first.
        numbers: `asymptote` of FVU over width, `line`: the mean of FVU_nonlinear over widths, `gap`: their difference.
        scale, exponent: a and m of the law in width.
        noise: the term of seeds and extrapolation of each number; empty where they are withheld.
        doubling: what each number would change by, as fitted, if every SAE of the top rung had twice as many tokens.
        reason: why the numbers are withheld; None where they are not.
    """

    limits: Limits
    weights: Weights
    numbers: dict[str, float]
    scale: float
    exponent: float
    noise: dict[str, Term]
    doubling: dict[str, float]
    reason: str | None


def second_step(
    widths: np.ndarray, values: Float[np.ndarray, "draw number width"], weights: Weights
) -> dict[str, np.ndarray]:
    """NUMBERS of each draw, and what the law in width is: `scale`, `exponent`, `rss`, `at_bound`."""
    law = fit_of_asymptotes(widths.astype(float), values[:, 0], weights[0])
    line = values[:, 1] @ weights[1] / weights[1].sum()
    return vars(law) | {"line": line, "gap": law.asymptote - line}


def fit_ladder(rungs: Rungs, y: Float[np.ndarray, "number sae"], level: float, seed: int) -> LadderFit:
    """Extrapolate FVU and FVU_nonlinear in tokens, then in width.

    Args:
        y: FVU and FVU_nonlinear of each SAE.

    Raises:
        ValueError: the SAEs make no ladder (`Rungs.lacking`).
    """
    if rungs.lacking:
        raise ValueError(rungs.lacking)
    first = limits(rungs, y)
    weights = (weights_of(rungs, first.exponent[0]), weights_of(rungs, first.exponent[1]))
    result = second_step(rungs.widths, first.value[None], weights)
    noise = noise_of(rungs, y, first.fitted)
    simulation = noise if isinstance(noise, str) else simulated(rungs, first, weights, result, noise, level, seed)
    terms, reason = ({}, simulation) if isinstance(simulation, str) else (simulation, None)
    top = first.value + first.gain
    later = first.value + first.gain * 2.0 ** -first.exponent[:, None]
    before, after = (second_step(rungs.widths, values[None], weights) for values in (top, later))
    return LadderFit(
        limits=first,
        weights=weights,
        numbers={name: float(result[name][0]) for name in NUMBERS},
        scale=float(result["scale"][0]),
        exponent=float(result["exponent"][0]),
        noise=terms,
        doubling={name: float(after[name][0] - before[name][0]) for name in NUMBERS},
        reason=reason,
    )


def simulated(
    rungs: Rungs,
    first: Limits,
    weights: Weights,
    result: dict[str, np.ndarray],
    noise: TrainingNoise,
    level: float,
    seed: int,
) -> dict[str, Term] | str:
    """The terms of the noise, or why there are none: both steps, on the values that both laws give with new noise."""
    width_law = result["asymptote"] + result["scale"] * rungs.widths ** -result["exponent"]
    place = np.searchsorted(rungs.widths, rungs.width)
    centre = first.fitted.copy()
    centre[0] += (width_law - first.value[0])[place]
    drawn = noise.draw(centre, DRAWS, seed)
    steps = [limits(rungs, drawn[:, row]) for row in range(2)]
    values = np.stack([step.value for step in steps], axis=1)
    moved = second_step(rungs.widths, values, weights)
    rounding = (ROUNDING * result["asymptote"]) ** 2
    if np.mean(moved["rss"] + rounding >= result["rss"]) < MISFIT:
        return (
            "the values that training tends to do not follow one power law in width: they scatter about it further "
            "than the noise of training explains"
        )
    if first.exponent[0] < P_MIN * 1.02:
        return "FVU falls with tokens in a way that shows no limit yet: the exponent of the law is at its least"
    loose = float(np.mean(moved["at_bound"]))
    if result["at_bound"][0] or loose > AT_BOUND:
        return (
            f"the SAEs do not show that there is an asymptote: with other seeds {loose:.0%} of such ladders would fit "
            "a curve that has none"
        )
    return {name: term_of(result[name][0], moved[name], noise.freedom, level) for name in NUMBERS}


def term_of(value: float, moved: Float[np.ndarray, " draw"], freedom: int, level: float) -> Term:
    """The term of noise whose effect on a number is known by simulation: how far off a number of such a ladder is.

    A number above the truth has its truth below it: the upper quantile of the simulated ones gives the lower side.
    """
    tail = (1 - level) / 2
    low, high = np.quantile(moved, [tail, 1 - tail])
    normal = float(normal_distribution.ppf(1 - tail))
    sides = [max(high - value, 0.0) / normal, max(value - low, 0.0) / normal]
    return Term("seed", max(sides), max(sides), freedom)


def ladder_statistic(rungs: Rungs, weights: Weights, name: str) -> Callable[[np.ndarray], np.ndarray]:
    """One of NUMBERS as a function of values [number × sae, resample], FVU of all SAEs first: what contexts move."""

    def statistic(numbers: Float[np.ndarray, "part resample"]) -> np.ndarray:
        halves = np.split(numbers, 2)
        values = np.stack([limits(rungs, half.T).value for half in halves], axis=1)
        return second_step(rungs.widths, values, weights)[name]

    return statistic
