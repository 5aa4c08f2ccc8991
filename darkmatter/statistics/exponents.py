"""The exponent of a power law by ever finer grids: the best of a grid, then a finer one around it. No random starts."""

import math
from collections.abc import Callable

import numpy as np
from jaxtyping import Float


def best_exponents(
    rss_of: Callable[[Float[np.ndarray, "row step"]], Float[np.ndarray, "row step"]],
    rows: int,
    bounds: tuple[float, float],
    passes: int,
    steps: int,
) -> Float[np.ndarray, " row"]:
    """log of the exponent with the least residual sum of squares, of each row.

    Args:
        rss_of: of the logs of exponents.
        bounds: least and largest exponent.
        passes, steps: grids, and exponents of each; a grid is `(steps − 1) / 2` times finer than the one before.
    """
    low, high = (np.full(rows, math.log(end)) for end in bounds)
    row = np.arange(rows)
    for _ in range(passes):
        log_m = low[:, None] + (high - low)[:, None] * np.linspace(0, 1, steps)
        best = rss_of(log_m).argmin(1)
        low, high = log_m[row, np.maximum(best - 1, 0)], log_m[row, np.minimum(best + 1, steps - 1)]
    return log_m[row, best]
