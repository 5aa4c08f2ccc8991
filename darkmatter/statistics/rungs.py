"""The rungs of training: SAEs of several widths on several budgets, and what each width's number tends to with tokens.

`y = y∞(W) + b(W)·T^−p`, by least squares with one exponent p for all widths.
"""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from jaxtyping import Float, Int

from darkmatter.statistics.exponents import best_exponents

RUNGS, WIDTHS = 3, 4  # fewer of either cannot test a law of three parameters
P_MIN, P_MAX = 0.05, 3.0  # below: a limit that no affordable training comes near; above: gone after the first rung
PASSES, STEPS = 4, 24  # of the search for p: each pass is twelve times finer


@dataclass(frozen=True)
class Rungs:
    """The design: which SAE is where, in one order for every number.

    Attributes:
        width: d_sae of each SAE.
        tokens: that it was trained on.
        seed: of its training.
    """

    width: Int[np.ndarray, " sae"]
    tokens: Int[np.ndarray, " sae"]
    seed: Int[np.ndarray, " sae"]

    @cached_property
    def widths(self) -> Int[np.ndarray, " width"]:
        return np.unique(self.width)

    @cached_property
    def members(self) -> list[np.ndarray]:
        """The SAEs of each width."""
        return [np.flatnonzero(self.width == width) for width in self.widths]

    @property
    def cells(self) -> list[tuple[int, int]]:
        """(width, budget) of every SAE, each once."""
        return list(dict.fromkeys(zip(self.width.tolist(), self.tokens.tolist(), strict=True)))

    @cached_property
    def alike(self) -> list[np.ndarray]:
        """SAEs that differ in their seed alone, two or more each."""
        cells = {cell: (self.width == cell[0]) & (self.tokens == cell[1]) for cell in self.cells}
        return [np.flatnonzero(own) for own in cells.values() if own.sum() > 1]

    @property
    def lacking(self) -> str | None:
        """Why these SAEs make no ladder; None where they do."""
        whole = [own for own in self.members if len(np.unique(self.tokens[own])) >= RUNGS]
        if len(whole) < WIDTHS:
            return f"{len(whole)} widths were trained on {RUNGS} budgets; {WIDTHS} are needed"
        if short := [int(w) for w, own in zip(self.widths, self.members, strict=True) if len({*self.tokens[own]}) < 2]:
            return f"one budget only at width {short[0]:,}"
        if not self.alike:
            return "no two SAEs of the ladder differ in their seed alone, so the noise of training is not known"
        return None


@dataclass(frozen=True)
class Limits:
    """The first step: each width's value with endless training.

    Attributes:
        value: y∞ [number, width].
        gain: b [number, width], of T in units of the largest budget.
        exponent: p [number].
        fitted: [number, sae].
    """

    value: np.ndarray
    gain: np.ndarray
    exponent: np.ndarray
    fitted: np.ndarray


def limits(rungs: Rungs, y: Float[np.ndarray, "number sae"]) -> Limits:
    """Least squares of each row: y∞ and b of each width in closed form, p by ever finer grids."""
    u = rungs.tokens / rungs.tokens.max()

    def rss_of(log_p: Float[np.ndarray, "number step"]) -> Float[np.ndarray, "number step"]:
        power = np.exp(-np.exp(log_p)[..., None] * np.log(u))
        return np.sum([straight(power[..., own], y[:, None, own])[2] for own in rungs.members], axis=0)

    exponent = np.exp(best_exponents(rss_of, len(y), (P_MIN, P_MAX), PASSES, STEPS))
    value, gain = (np.empty((len(y), len(rungs.widths))) for _ in range(2))
    fitted = np.empty_like(y)
    for number, own in enumerate(rungs.members):
        x = np.exp(-exponent[:, None] * np.log(u[own]))
        value[:, number], gain[:, number], _ = straight(x, y[:, own])
        fitted[:, own] = value[:, [number]] + gain[:, [number]] * x
    return Limits(value, gain, exponent, fitted)


def straight(x: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Intercept, slope and residual sum of squares over the last axis."""
    centre, mean = x.mean(-1, keepdims=True), y.mean(-1, keepdims=True)
    slope = ((x - centre) * (y - mean)).sum(-1) / ((x - centre) ** 2).sum(-1)
    intercept = mean[..., 0] - slope * centre[..., 0]
    return intercept, slope, ((y - intercept[..., None] - slope[..., None] * x) ** 2).sum(-1)


def weights_of(rungs: Rungs, exponent: float) -> Float[np.ndarray, " width"]:
    """1 / variance of each y∞ at one variance of the SAEs; their mean is 1."""
    u = rungs.tokens / rungs.tokens.max()
    result = []
    for own in rungs.members:
        x = u[own] ** -exponent
        result.append(1 / (1 / len(own) + x.mean() ** 2 / ((x - x.mean()) ** 2).sum()))
    return np.array(result) / np.mean(result)
