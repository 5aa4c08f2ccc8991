"""R² and fraction of variance unexplained, once, from per-context sums and weights over contexts.

Every function takes `weights` [resample, context] and sums per context, and returns one number per resample:
the data itself is the row of ones. Sums come shifted (Σ (t − s)), which changes no R² and keeps the digits.

    R²  = 1 − Σ (t − t̂)² / Σ (t − t̄)²
    FVU =     Σ ‖x − x̂‖² / Σ ‖x − x̄‖²        (pooled over dimensions)

The mean is that of the scored rows. A target without variance has no R² (NaN here, null in the results) and
is never averaged in.
"""

from typing import NamedTuple

import numpy as np
from jaxtyping import Float

from darkmatter.statistics.bootstrap import Weights

PerContext = Float[np.ndarray, " context"]
PerDimension = Float[np.ndarray, "context dim"]


class ContextSums(NamedTuple):
    """Σ x of each context, in place of the products between contexts, of which there are n²."""

    total: PerDimension


# Below this share of its raw second moment a centred sum of squares is rounding, not variance.
ROUNDING = 1e-14


def centred(
    weights: Weights, rows: PerContext, total: PerContext | PerDimension, square: PerContext | PerDimension
) -> Float[np.ndarray, "resample ..."]:
    """Σ (t − t̄)² of the weighted contexts; 0 where only rounding is left."""
    count = weights @ rows
    count = count if total.ndim == 1 else count[:, None]
    raw = weights @ square
    with np.errstate(invalid="ignore", divide="ignore"):
        spread = raw - (weights @ total) ** 2 / count
    return np.where(spread > ROUNDING * raw, spread, 0.0)


def ratio(numerator: np.ndarray, denominator: np.ndarray) -> np.ndarray:
    """numerator / denominator, NaN where the denominator is zero."""
    return np.divide(numerator, denominator, out=np.full_like(numerator, np.nan), where=denominator > 0)


def r2(
    weights: Weights, rows: PerContext, total: PerContext, square: PerContext, residual: PerContext
) -> Float[np.ndarray, " resample"]:
    """R² of a scalar target."""
    return 1.0 - ratio(weights @ residual, centred(weights, rows, total, square))


def r2_mean(
    weights: Weights, rows: PerContext, total: PerDimension, square: PerDimension, residual: PerDimension
) -> Float[np.ndarray, " resample"]:
    """Mean over dimensions of R² (section 4); dimensions without variance are left out."""
    per_dimension = 1.0 - ratio(weights @ residual, centred(weights, rows, total, square))
    with np.errstate(invalid="ignore"):
        defined = np.isfinite(per_dimension)
        return ratio(np.where(defined, per_dimension, 0.0).sum(1), defined.sum(1).astype(float))


def pooled_spread(
    weights: Weights, rows: PerContext, square: PerContext, cross: np.ndarray | ContextSums
) -> np.ndarray:
    """Σ ‖x − x̄‖² from Σ ‖x‖² per context and the products (Σ x)·(Σ x)ᵀ between contexts.

    `cross` [context, context] stands in for the sums of all dimensions, so that pooled numbers can be derived
    again, resampled too, from a file of a few hundred kilobytes. Of thousands of contexts it is the larger of the two.
    """
    if isinstance(cross, ContextSums):
        product = np.square(weights @ cross.total).sum(1)
    else:
        product = np.einsum("rc,cd,rd->r", weights, cross, weights, optimize=True)
    spread = weights @ square - product / (weights @ rows)
    return np.where(spread > ROUNDING * (weights @ square), spread, 0.0)


def symmetric(upper: Float[np.ndarray, "context context"]) -> Float[np.ndarray, "context context"]:
    """The whole of a symmetric matrix of which what lies below the diagonal is 0."""
    return upper + np.triu(upper, 1).T


def fvu(
    weights: Weights, rows: PerContext, square: PerContext, cross: np.ndarray | ContextSums, residual: PerContext
) -> Float[np.ndarray, " resample"]:
    """Pooled fraction of variance unexplained."""
    return ratio(weights @ residual, pooled_spread(weights, rows, square, cross))


def mean(weights: Weights, rows: PerContext, total: PerContext) -> Float[np.ndarray, " resample"]:
    """Mean over rows."""
    return ratio(weights @ total, weights @ rows)
