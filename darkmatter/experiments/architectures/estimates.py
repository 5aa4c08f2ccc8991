"""Numbers of one SAE, and numbers at one L0, from sums per context: no torch.

    number at L0 = l    straight in log L0 between the two SAEs of one seed whose L0s lie around l, mean over seeds

L0s are resampled with the numbers. Where no two L0s lie around l, there is no number.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from darkmatter.statistics import metrics
from darkmatter.statistics.bootstrap import Statistic, Weights, each_once
from darkmatter.statistics.estimate import Estimate
from darkmatter.statistics.per_dimension import mean_of_ratios
from darkmatter.statistics.sae_estimates import HookpointSums, Sums

FVU, NONLINEAR, LINEAR, VECTOR_R2, L0 = "fvu", "fvu_nonlinear", "fvu_linear", "vector_r2", "l0"
NUMBERS = (FVU, NONLINEAR, LINEAR, VECTOR_R2)
FITTED = (NONLINEAR, LINEAR, VECTOR_R2)  # numbers that a regression is behind


def statistics_of(hookpoint: HookpointSums, sums: Sums, split: str) -> dict[str, Statistic]:
    """Each of NUMBERS, and L0, of one SAE over the held-out rows of a split.

    Args:
        sums: as `compute.measure` writes them.
    """
    view = hookpoint.views[split]
    square, cross = view.of_sums(hookpoint.square), hookpoint.cross_of(view)
    own = {name: sums[f"{split}/{name}"] for name in ("error", "nonlinear", "unexplained", "l0")}

    def pooled(left: np.ndarray) -> Statistic:
        return lambda weights: metrics.fvu(weights, view.rows, square, cross, left)

    return {
        FVU: pooled(own["error"]),
        NONLINEAR: pooled(own["nonlinear"]),
        LINEAR: pooled(own["error"] - own["nonlinear"]),
        VECTOR_R2: lambda weights: 1 - mean_of_ratios(weights, own["unexplained"]),
        L0: lambda weights: metrics.ratio(weights @ own["l0"], weights @ view.rows),
    }


@dataclass(frozen=True)
class CurvePoint:
    """One SAE of a curve over L0."""

    l0: float
    statistics: Mapping[str, Statistic]

    @classmethod
    def of(cls, statistics: Mapping[str, Statistic], contexts: int) -> "CurvePoint":
        return cls(float(statistics[L0](each_once(contexts))[0]), statistics)


def around(points: Sequence[CurvePoint], l0: float) -> tuple[CurvePoint, CurvePoint] | str:
    """The SAEs with the nearest L0 below and above, one SAE twice where it has this L0; or why there are none."""
    below, above = ([p for p in points if keep(p)] for keep in (lambda p: p.l0 <= l0, lambda p: p.l0 >= l0))
    if not below or not above:
        measured = ", ".join(f"{l0:.1f}" for l0 in sorted(p.l0 for p in points)) or "none"
        return f"L0 {l0:g} is not between those that were reached ({measured})"
    return max(below, key=lambda point: point.l0), min(above, key=lambda point: point.l0)


def between(low: CurvePoint, high: CurvePoint, l0: float, name: str) -> Statistic:
    """A number at this L0, straight in log L0."""
    if low is high:
        return low.statistics[name]

    def statistic(weights: Weights) -> np.ndarray:
        below, above = (np.log(point.statistics[L0](weights)) for point in (low, high))
        share = (math.log(l0) - below) / (above - below)
        first, last = (point.statistics[name](weights) for point in (low, high))
        return first + share * (last - first)

    return statistic


Combine = Callable[[np.ndarray], np.ndarray]  # [part, resample] → [resample]


def alone(parts: np.ndarray) -> np.ndarray:
    return parts[0]


def lead(parts: np.ndarray) -> np.ndarray:
    return parts[0] - parts[1]


def ratio(parts: np.ndarray) -> np.ndarray:
    return metrics.ratio(parts[0], parts[1])


def spread_ratio(parts: np.ndarray) -> np.ndarray:
    """Standard deviation of the logarithms of the first half of the parts, over that of the second."""
    with np.errstate(invalid="ignore", divide="ignore"):
        logarithms = np.log(parts)
    first, last = np.split(logarithms, 2)
    return metrics.ratio(first.std(axis=0), last.std(axis=0))


def withheld(reason: str) -> Estimate:
    return {"value": None, "low": None, "high": None, "reason": reason}
