"""R² with intervals from the sums of `held_out_regression.regress`: no torch."""

from typing import Any

import numpy as np

from darkmatter.params.conventions import CONVENTIONS
from darkmatter.regression.splits import ROW_SETS, SPLITS
from darkmatter.statistics import metrics
from darkmatter.statistics.bootstrap import ContextBootstrap
from darkmatter.statistics.estimate import Estimate
from darkmatter.statistics.sae_estimates import Sums, estimate


def scored(sums: Sums, row_set: str, residual: str) -> tuple[np.ndarray, ...]:
    """Rows [context]; sums of the targets, of their squares and of their squared residuals [context, target].

    Of the contexts that have rows in the set.

    Args:
        sums: as `held_out_regression.HeldOut.sums`.
        row_set: a name of ROW_SETS.
        residual: key of the squared residuals.

    Raises:
        ValueError: these residuals were not scored on these rows.
    """
    number = ROW_SETS.index(row_set)
    used = np.flatnonzero(sums["rows"][number])
    key = residual.removeprefix("residual/")
    names = [f"{name}/{key}" if f"{name}/{key}" in sums else name for name in ("total", "square")]
    columns = tuple(sums[name][number][used] for name in ("rows", *names, residual))
    if np.isnan(columns[-1]).any():
        raise ValueError(f"{residual} is not scored on the row set {row_set!r}")
    return columns


def r2_of(sums: Sums, row_set: str, residual: str, rank: int, bootstrap: dict[str, Any]) -> Estimate:
    """R² over one set of rows, the mean over targets (of one target: its R²); arguments as of `scored`.

    Args:
        bootstrap: `resamples`, `level` and `seed`.
    """
    rows, *columns = scored(sums, row_set, residual)
    return estimate(
        ContextBootstrap(len(rows), **bootstrap), lambda weights: metrics.r2_mean(weights, rows, *columns), rows, rank
    )


def r2_estimates(sums: Sums, rank: dict[str, int], bootstrap: dict[str, Any]) -> dict[str, Any]:
    """split → convention → estimate, and `in_sample`: the fit on all rows, scored on them.

    `paper` is with intercept, `authors` through the origin.
    """
    result: dict[str, Any] = {
        split: {way: r2_of(sums, split, f"residual/{split}/{way}", rank[split], bootstrap) for way in CONVENTIONS}
        for split in SPLITS
    }
    return result | {"in_sample": r2_of(sums, "all", "residual/in-sample", rank["all"], bootstrap)}


def of_targets(sums: Sums, targets: slice) -> dict[str, np.ndarray]:
    """The sums of some of the targets."""
    return {name: array if name == "rows" else array[..., targets] for name, array in sums.items()}
