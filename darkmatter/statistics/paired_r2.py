"""Numbers that several regressions decide together: differences, slopes and largest values of their R².

The regressions are scored on the same contexts, so each resample of contexts gives all of them at once and the number
follows: its interval is paired. No torch.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Float

from darkmatter.regression.splits import ROW_SETS
from darkmatter.statistics import metrics
from darkmatter.statistics.bootstrap import ContextBootstrap, Weights, each_once
from darkmatter.statistics.estimate import Estimate
from darkmatter.statistics.sae_estimates import Sums, estimate

# [part, resample] → [resample]
Combine = Callable[[Float[np.ndarray, "part resample"]], Float[np.ndarray, " resample"]]


@dataclass(frozen=True)
class ScoredRegression:
    """One scalar regression on one set of rows: sums per context, all [context], and the rank of its fit."""

    rows: np.ndarray
    total: np.ndarray
    square: np.ndarray
    residual: np.ndarray
    rank: int

    @classmethod
    def of(cls, sums: Sums, row_set: str, residual: str, rank: int, target: int = 0) -> "ScoredRegression":
        """From sums as `held_out_regression.regress` leaves them.

        Args:
            row_set: a name of ROW_SETS.
            residual: key of the squared residuals.
            target: number of the target.

        Raises:
            ValueError: these residuals were not scored on these rows.
        """
        number = ROW_SETS.index(row_set)
        rows = sums["rows"][number]
        total, square, left = (sums[name][number, :, target] for name in ("total", "square", residual))
        if np.isnan(left[rows > 0]).any():
            raise ValueError(f"{residual} is not scored on the row set {row_set!r}")
        return cls(rows, total, square, np.where(rows > 0, left, 0.0), rank)

    def r2(self, weights: Weights, used: np.ndarray) -> Float[np.ndarray, " resample"]:
        """R² under weights over the contexts `used`."""
        rows, total, square, residual = (part[used] for part in (self.rows, self.total, self.square, self.residual))
        return metrics.r2(weights, rows, total, square, residual)

    @property
    def value(self) -> float:
        """R² over all contexts."""
        return float(self.r2(each_once(len(self.rows)), np.arange(len(self.rows)))[0])


def together(parts: Sequence[ScoredRegression], combine: Combine, bootstrap: dict[str, Any]) -> Estimate:
    """What `combine` makes of the R² of all parts, resampled as one; null where one of them has no variance.

    Contexts without a scored row in any part are not resampled. `rows` and `rank` are those of the part that has
    most.
    """
    used = np.flatnonzero(sum(part.rows for part in parts))
    units = ContextBootstrap(len(used), **bootstrap)

    def statistic(weights: Weights) -> np.ndarray:
        return combine(np.stack([part.r2(weights, used) for part in parts]))

    most = max(parts, key=lambda part: part.rows.sum())
    return estimate(units, statistic, most.rows[used], max(part.rank for part in parts))


def alone(part: ScoredRegression, bootstrap: dict[str, Any]) -> Estimate:
    """R² of one regression."""
    return together([part], lambda r2: r2[0], bootstrap)


def difference(first: ScoredRegression, second: ScoredRegression, bootstrap: dict[str, Any]) -> Estimate:
    """R² of the first minus R² of the second."""
    return together([first, second], lambda r2: r2[0] - r2[1], bootstrap)


def slope(x: np.ndarray, y: Float[np.ndarray, "point resample"], group: Sequence[Any] | None = None) -> np.ndarray:
    """Least-squares slope of y on x, [resample], with one offset for each group of points (none: one for all)."""
    members = np.unique([str(name) for name in group], return_inverse=True)[1] if group else np.zeros(len(x), dtype=int)
    counts = np.bincount(members)
    centred = x - (np.bincount(members, x) / counts)[members]
    spread = centred @ centred
    varies = spread > metrics.ROUNDING * (x @ x)  # means of equal x leave rounding
    return centred @ y / spread if varies else np.full(y.shape[1], np.nan)
