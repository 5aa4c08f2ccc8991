"""Means over dimensions of a ratio, such as R² of a vector (Eq. 11), from two sums of each context: no torch.

    M = mean_d N_d / D_d         N_d = Σ_c n_cd, D_d = Σ_c d_cd, c over contexts, d over dimensions

    above_c = mean_d n_cd / D_d                below_c = mean_d (N_d / D_d) d_cd / D_d

Both add up to M. With weights over contexts,

    M(w) = M · Σ_c w_c above_c / Σ_c w_c below_c

is M on the data, exactly, and M to first order in the weights: the change of N_d / D_d is that of
(N_d − (N_d / D_d) D_d) / D_d with the D_d of the data below the line. So hundreds of dimensions take the room of one,
and git holds what every mean over dimensions is made from, its interval too. A dimension without D_d is left out. First
order is far off where a dimension has nearly all of its D_d in few contexts and an N_d that is many times that.
"""

from collections.abc import Mapping

import numpy as np
from jaxtyping import Float

from darkmatter.params.conventions import CONVENTIONS, pooled_rows
from darkmatter.regression.splits import ROW_SETS, SPLITS
from darkmatter.statistics import metrics
from darkmatter.statistics.bootstrap import Weights, each_once

Pair = Float[np.ndarray, "2 context"]  # above, below
Sums = Mapping[str, np.ndarray]


def ratio_sums(numerator: metrics.PerDimension, denominator: metrics.PerDimension) -> Pair:
    """`above` and `below` of non-negative n_cd and d_cd; NaN where no dimension has a denominator."""
    whole = denominator.sum(0)
    there = whole > 0
    if not there.any():
        return np.full((2, len(numerator)), np.nan)
    above, below = numerator[:, there] / whole[there], denominator[:, there] / whole[there]
    return np.stack([above.sum(1), below @ above.sum(0)]) / there.sum()


def mean_of_ratios(weights: Weights, pair: Pair) -> Float[np.ndarray, " resample"]:
    """M(w); NaN where no dimension has a denominator."""
    above, below = pair
    whole = above.sum()
    if whole == 0:  # nothing above the line in any dimension: M is 0 for all weights, and below_c is 0, too
        return np.zeros(len(weights))
    return whole * metrics.ratio(weights @ above, weights @ below)


def spread(rows: metrics.PerContext, total: metrics.PerDimension, square: metrics.PerDimension) -> metrics.PerDimension:
    """What each context adds to Σ (t − t̄)², t̄ the mean of all rows; 0 in dimensions where only rounding is left."""
    mean = total.sum(0) / rows.sum()
    added = square - 2 * mean * total + rows[:, None] * mean**2
    return np.where(metrics.centred(each_once(len(rows)), rows, total, square) > 0, added, 0.0)


def unexplained_sums(
    rows: metrics.PerContext, total: metrics.PerDimension, square: metrics.PerDimension, left: metrics.PerDimension
) -> Pair:
    """Of the mean over dimensions of 1 − R² = Σ (t − t̂)² / Σ (t − t̄)²."""
    return ratio_sums(left, spread(rows, total, square))


def pooled_sums(
    rows: metrics.PerContext, total: metrics.PerDimension, square: metrics.PerDimension, left: metrics.PerDimension
) -> Pair:
    """Of Σ (t − t̂)² / Σ (t − t̄)², both over all dimensions."""
    return ratio_sums(left.sum(1)[:, None], spread(rows, total, square).sum(1)[:, None])


def unexplained_key(split: str, convention: str) -> str:
    """Of 1 − R² of the error vector."""
    return f"per_dimension/unexplained/{split}/{convention}"


def fvu_key(row_set: str) -> str:
    """Of FVU over a row set."""
    return f"per_dimension/fvu/{row_set}"


def fvu_nonlinear_key(split: str, convention: str) -> str:
    return f"per_dimension/fvu_nonlinear/{split}/{convention}"


def error_sums(x_sums: Sums, dimension_sums: Sums) -> dict[str, Pair]:
    """What R² of one SAE's error vector, FVU and FVU_nonlinear follow from, each a mean over dimensions.

    Each is of the contexts that have rows in its set.

    Args:
        x_sums: `rows` [set, context]; `x_sum`, `x_square` [set, context, d_model], shifted.
        dimension_sums: `error_sum`, `error_square`, `nonlinear/SPLIT/CONVENTION` [set, context, d_model].
    """
    rows = x_sums["rows"]
    used = {name: np.flatnonzero(rows[number]) for number, name in enumerate(ROW_SETS)}

    def over(row_set: str, sums: np.ndarray) -> np.ndarray:
        return sums[ROW_SETS.index(row_set)][used[row_set]]

    def spread_over(row_set: str, total: np.ndarray, square: np.ndarray) -> np.ndarray:
        return spread(*(over(row_set, sums) for sums in (rows, total, square)))

    total, square = (dimension_sums[f"error_{name}"] for name in ("sum", "square"))
    of_x = {name: spread_over(name, x_sums["x_sum"], x_sums["x_square"]) for name in ROW_SETS}
    result = {fvu_key(name): ratio_sums(over(name, square), of_x[name]) for name in ROW_SETS}
    for split in SPLITS:
        of_error = spread_over(split, total, square)
        for way in CONVENTIONS:
            left, pooled = dimension_sums[f"nonlinear/{split}/{way}"], pooled_rows(split, way)
            result[unexplained_key(split, way)] = ratio_sums(over(split, left), of_error)
            result[fvu_nonlinear_key(split, way)] = ratio_sums(over(pooled, left), of_x[pooled])
    return result
