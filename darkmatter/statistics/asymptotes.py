"""Many power laws `y = c + a·W^−m` with c, a ≥ 0 at once, such as one to each resample: no random starts."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from darkmatter.statistics.exponents import best_exponents
from darkmatter.statistics.power_law import M_MAX, M_MIN

PASSES, STEPS = 4, 60  # of the search for the exponent: each pass is thirty times finer
Weights = Float[np.ndarray, " point"] | None


@dataclass(frozen=True)
class Asymptotes:
    """One fit for each row, [row].

    Attributes:
        at_bound: c is 0, the curve is flat, or m is at its least: the row shows no asymptote that the values fall to.
    """

    asymptote: np.ndarray
    scale: np.ndarray
    exponent: np.ndarray
    rss: np.ndarray
    at_bound: np.ndarray


def fit_of_asymptotes(
    W: Float[np.ndarray, " point"], y: Float[np.ndarray, "row point"], weights: Weights = None
) -> Asymptotes:
    """The best fit to each row: a and c in closed form, m by ever finer grids.

    Args:
        weights: of the points; None: all alike.
    """
    log_u = np.log(W) - np.log(W).mean()
    log_m = best_exponents(
        lambda grid: best_constant(grid, log_u, y, weights)[2], len(y), (M_MIN, M_MAX), PASSES, STEPS
    )
    usable, m = np.isfinite(y).all(1), np.exp(log_m)
    found = best_constant(log_m[:, None], log_u, y, weights)
    c, a, rss = (np.where(usable, values[:, 0], np.nan) for values in found)
    scale = a * np.exp(m * np.log(W).mean())
    at_bound = (c <= 0) | (a <= 0) | (m < M_MIN * 1.02)
    return Asymptotes(c, scale, m, rss, at_bound)


def best_constant(
    log_m: np.ndarray, log_u: np.ndarray, y: np.ndarray, weights: Weights
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """c, a and residual sum of squares for each exponent, (row, step) each."""

    def total(values: np.ndarray) -> np.ndarray:
        return (values if weights is None else values * weights).sum(-1)

    def mean(values: np.ndarray) -> np.ndarray:
        if weights is None:
            return values.mean(-1, keepdims=True)
        return (values * weights).sum(-1, keepdims=True) / weights.sum()

    power = np.exp(-np.exp(log_m)[..., None] * log_u)  # (row, step, point)
    y = y[:, None, :]
    centre, middle = mean(power), mean(y)
    a = total((power - centre) * (y - middle)) / total((power - centre) ** 2)
    c = middle[..., 0] - a * centre[..., 0]
    through_zero = np.maximum(total(power * y) / total(power**2), 0)  # c < 0 is not allowed: c = 0
    a, c = np.where(c < 0, through_zero, a), np.maximum(c, 0)
    flat = a < 0
    a, c = np.where(flat, 0.0, a), np.where(flat, np.maximum(middle[..., 0], 0), c)
    return c, a, total((y - c[..., None] - a[..., None] * power) ** 2)
