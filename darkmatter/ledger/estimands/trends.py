"""Slopes over a grid of SAEs, with intervals over contexts and SAEs.

A trend in L0 has one offset for each hookpoint and width, a trend in width one for each hookpoint and L0, so that
neither stands in for the other.
"""

from collections.abc import Sequence
from typing import Any, Literal

import numpy as np
from jaxtyping import Float

from darkmatter.ledger.estimands.evidence import Point
from darkmatter.ledger.estimands.quantities import (
    Formula,
    Null,
    OverSaes,
    Quantity,
    Sampled,
)
from darkmatter.statistics.bootstrap import each_once
from darkmatter.statistics.paired_r2 import slope
from darkmatter.statistics.variance_model import FEWEST_FREEDOM, Term, too_few

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

    y = scale(np.array([formula.statistic(each_once(len(formula.view.used)))[0] for formula in formulas]))
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
    """The term of the scatter of SAEs around lines of one slope, as in least squares with an offset for each group.

    SAEs that have a group for themselves say nothing about slope or scatter.
    """
    members = {one: [i for i, other in enumerate(group) if other == one] for one in dict.fromkeys(group)}
    shared = [own for own in members.values() if len(own) > 1]
    u, v = (np.concatenate([values[own] - values[own].mean() for own in shared]) for values in (x, y))
    freedom = len(u) - len(shared) - 1
    if freedom < FEWEST_FREEDOM:
        reason = too_few(f"{len(u)} SAEs in {len(shared)} groups", freedom)
        return lambda level: reason
    left = v - u * (u @ v) / (u @ u)
    deviation = float(np.sqrt(left @ left / freedom / (u @ u)))
    return lambda level: Term("sae", deviation, deviation, freedom)
