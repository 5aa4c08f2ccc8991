"""Slopes over a grid of SAEs, with intervals over contexts and over SAEs.

A trend in L0 has one offset for each hookpoint and width, a trend in width one for each hookpoint and L0, so that
neither stands in for the other.
"""

from collections.abc import Sequence
from typing import Any, Literal

import numpy as np
from jaxtyping import Float

from darkmatter.estimands.evidence import Point
from darkmatter.estimands.quantities import (
    Bootstrap,
    Formula,
    Null,
    OverSaes,
    Quantity,
    Sampled,
    units_of,
)
from darkmatter.paired import slope
from darkmatter.watched import Watched

Axis = Literal["l0", "width"]


def trend(points: Sequence[Point], formulas: Sequence[Formula], axis: Axis, logarithm: bool = False) -> Quantity:
    """Least-squares slope per doubling of L0 or of d_sae.

    Args:
        formulas: the number of each point.
        logarithm: of its natural logarithm.
    """
    x, group = places(points, axis)
    if not within_groups(x, group):
        fixed = "width" if axis == "l0" else "L0"
        return Null(f"no two SAEs of one {fixed} differ in {'L0' if axis == 'l0' else 'width'}")

    def scale(numbers: np.ndarray) -> np.ndarray:
        if not logarithm:
            return numbers
        return np.log(numbers, out=np.full_like(numbers, np.nan), where=numbers > 0)

    y = scale(np.array([formula.statistic(np.ones((1, len(formula.view.used))))[0] for formula in formulas]))
    return Sampled(formulas, lambda numbers: slope(x, scale(numbers), group), slope_over_saes(x, y, group))


def places(points: Sequence[Point], axis: Axis) -> tuple[Float[np.ndarray, " point"], list[Any]]:
    """Where each SAE stands on the axis, in doublings, and whose offset it shares.

    SAEs without a nominal L0 (k) share an offset within half a doubling of their measured one.
    """
    width = np.log2([point.sae["d_sae"] for point in points])
    l0 = np.log2([point.sae["l0"] for point in points])
    if axis == "l0":
        return l0, [(point.hookpoint, point.sae["d_sae"]) for point in points]
    bins = [point.sae["k"] or f"near {2 ** round(value)}" for point, value in zip(points, l0, strict=True)]
    return width, [(point.hookpoint, bin) for point, bin in zip(points, bins, strict=True)]


def within_groups(x: np.ndarray, group: Sequence[Any]) -> bool:
    """Whether any group has two different x, without which no slope exists."""
    return any(np.ptp([x[i] for i, other in enumerate(group) if other == one]) > 1e-9 for one in set(group))


def slope_over_saes(x: np.ndarray, y: np.ndarray, group: Sequence[Any]) -> OverSaes:
    """The interval of a slope when the SAEs are resampled, all grids together."""

    def interval(bootstrap: Bootstrap) -> tuple[float, float] | str:
        units = units_of(len(x), bootstrap["resamples"], bootstrap["level"], bootstrap["seed"])

        statistic = Watched(lambda weights: weighted_slope(weights, x, y, group), units.resamples)
        found = units.interval(statistic)
        if found is None or statistic.too_often_undefined(units.level):
            return f"{len(x)} SAEs are too few to resample: too many draws have no slope"
        return found.low, found.high

    return interval


def weighted_slope(
    weights: Float[np.ndarray, "resample point"], x: np.ndarray, y: np.ndarray, group: Sequence[Any]
) -> Float[np.ndarray, " resample"]:
    """Slope of y on x with one offset for each group, every point counted `weights` times; NaN without any spread."""
    xx, xy = np.zeros(len(weights)), np.zeros(len(weights))
    for one in dict.fromkeys(group):
        members = [i for i, other in enumerate(group) if other == one]
        w, u, v = weights[:, members], x[members] - x[members].mean(), y[members]
        count = np.maximum(w.sum(1), 1e-300)  # a group that was not drawn adds nothing
        xx += w @ u**2 - (w @ u) ** 2 / count
        xy += w @ (u * v) - (w @ u) * (w @ v) / count
    return np.divide(xy, xx, out=np.full(len(weights), np.nan), where=xx > 1e-9)
