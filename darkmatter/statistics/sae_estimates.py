"""From per-context sums to numbers with intervals: no model, no activations, no torch.

This is the step that a reviewer repeats. An interval here is one over contexts; it holds neither the noise of the fit
nor that of the SAE's seed.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from jaxtyping import Float

from darkmatter.params.conventions import pooled_rows
from darkmatter.regression.splits import ROW_SETS, SPLITS
from darkmatter.statistics import metrics, per_dimension
from darkmatter.statistics.bootstrap import MANY, ContextBootstrap, Statistic
from darkmatter.statistics.estimate import Estimate, Facts
from darkmatter.statistics.per_dimension import mean_of_ratios

Sums = Mapping[str, np.ndarray]
Answer = Any  # of a set of rows: an Estimate; of symbolic ones, as the ledger has them, the formula itself

NORM_TEST = ("x", "sae", "error", "linear", "nonlinear")


def estimate(bootstrap: ContextBootstrap, statistic: Statistic, rows: np.ndarray, rank: int) -> Estimate:
    """One number with its interval, or null where the target has no variance."""
    facts: Facts = {"rows": int(rows.sum()), "contexts": len(rows), "rank": rank}
    interval = bootstrap.interval(statistic)
    if interval is None:
        return {"value": None, "low": None, "high": None, **facts, "reason": "the target has no variance"}
    return {"value": interval.value, "low": interval.low, "high": interval.high, **facts}


@dataclass(frozen=True)
class HookpointSums:
    """What all SAEs of a hookpoint share.

    Attributes:
        rows: [set, context] rows of each row set (ROW_SETS).
        square: [set, context] Σ ‖x̃‖² with x̃ = x − shift.
        cross: [set, context, context] products (Σ x̃)·(Σ x̃)ᵀ of the contexts' sums, 0 below the diagonal; of many
            contexts the sums themselves, [set, context, d_model].
        rank: rank of each fit set's regression.
        bootstrap: `resamples`, `level` and `seed` of the intervals.
    """

    rows: np.ndarray
    square: np.ndarray
    cross: np.ndarray | metrics.ContextSums
    rank: dict[str, int]
    bootstrap: dict[str, Any]

    def cross_of(self, view: "RowSet") -> np.ndarray | metrics.ContextSums:
        """The part of `cross` that belongs to one row set."""
        if isinstance(self.cross, metrics.ContextSums):
            return metrics.ContextSums(view.of_sums(self.cross.total))
        return metrics.symmetric(self.cross[view.number][np.ix_(view.used, view.used)])

    @cached_property
    def views(self) -> dict[str, "RowSet"]:
        return {name: RowSet.of(self, name) for name in ROW_SETS}


@dataclass(frozen=True)
class RowSet:
    """One set of scored rows: which contexts have any, and their bootstrap."""

    number: int
    used: np.ndarray
    rows: np.ndarray
    bootstrap: ContextBootstrap

    @classmethod
    def of(cls, hookpoint: HookpointSums, name: str) -> "RowSet":
        number = ROW_SETS.index(name)
        used = np.flatnonzero(hookpoint.rows[number])
        bootstrap = ContextBootstrap(len(used), **hookpoint.bootstrap)
        return cls(number, used, hookpoint.rows[number][used], bootstrap)

    def of_sums(self, sums: np.ndarray) -> np.ndarray:
        """The part of [set, context, …] sums that belongs to this row set."""
        return sums[self.number][self.used]

    def estimate(self, statistic: Statistic, rank: int) -> Answer:
        return estimate(self.bootstrap, statistic, self.rows, rank)


def scalar_r2(view: RowSet, sums: Sums, column: str, residual: str, rank: int) -> Answer:
    """R² of a norm probe (Eq. 10) from the sums of its target and of its squared residuals."""
    total, square = (view.of_sums(sums[f"centred_{part}/{column}"]) for part in ("sum", "square"))
    left = view.of_sums(sums[f"residual/{residual}"])
    return view.estimate(lambda weights: metrics.r2(weights, view.rows, total, square, left), rank)


def pooled_fvu(view: RowSet, hookpoint: HookpointSums, left: np.ndarray, rank: int) -> Answer:
    """Σ ‖x − x̂‖² / Σ ‖x − x̄‖² over a row set."""
    square, residual = view.of_sums(hookpoint.square), view.of_sums(left)
    cross = hookpoint.cross_of(view)
    return view.estimate(lambda weights: metrics.fvu(weights, view.rows, square, cross, residual), rank)


def mean_of(view: RowSet, sums: Sums, column: str, rank: int) -> Answer:
    total = view.of_sums(sums[f"sum/{column}"])
    return view.estimate(lambda weights: metrics.mean(weights, view.rows, total), rank)


def ratio_of(view: RowSet, sums: Sums, numerator: str, denominator: str, rank: int) -> Answer:
    above, below = (view.of_sums(sums[f"sum/{column}"]) for column in (numerator, denominator))
    return view.estimate(lambda weights: metrics.ratio(weights @ above, weights @ below), rank)


def scalar_estimates(hookpoint: HookpointSums, sums: Sums, split: str, convention: str) -> dict[str, Any]:
    """Every scalar and pooled number of one SAE under one split and one convention.

    `paper`: intercepts, held-out rows, the linear part from the split's own map. `authors`: no intercept,
    FVU on all rows with the fitted ones among them, the linear part from a map fitted on all rows.
    """
    held_out = hookpoint.views[split]
    pooled = hookpoint.views[pooled_rows(split, convention)]
    source = split if convention == "paper" else "all"
    rank = hookpoint.rank[split]
    column = {name: f"{name}/{source}" if name.endswith("linear") else name for name in NORM_TEST}
    norm_test = {
        name: scalar_r2(held_out, sums, column[name], f"{split}/{convention}/{name}", rank) for name in NORM_TEST
    }
    numbers: dict[str, Any] = {
        "norm_r2": norm_test["error"],
        "norm_test": norm_test,
        "fvu": pooled_fvu(pooled, hookpoint, sums["sum/error"], 0),
        "fvu_nonlinear": pooled_fvu(pooled, hookpoint, sums[f"pooled/nonlinear/{split}/{convention}"], rank),
        "norm_ratio": ratio_of(held_out, sums, "norm_sae", "norm_x", 0),
        "cos_linear_x": mean_of(held_out, sums, f"cosine/{source}", rank),
        "linear_norm_sq": mean_of(held_out, sums, f"linear/{source}", rank),
        "nonlinear_norm_sq": mean_of(held_out, sums, f"nonlinear/{source}", rank),
    }
    if convention == "paper":
        everything = hookpoint.views["all"]
        numbers["norm_test_cross_fit"] = {
            name: scalar_r2(everything, sums, f"{name}/cross-fit", f"cross-fit/{name}", rank)
            for name in ("linear", "nonlinear")
        }
    return numbers


def dimension_estimates(hookpoint: HookpointSums, sums: Sums, split: str, convention: str) -> dict[str, Answer]:
    """The numbers that average over dimensions: E11's R², and both FVU as 1 − R² per dimension.

    Args:
        sums: of `per_dimension.error_sums`.
    """
    rank, rows = hookpoint.rank[split], pooled_rows(split, convention)
    held_out, pooled = hookpoint.views[split], hookpoint.views[rows]
    unexplained = sums[per_dimension.unexplained_key(split, convention)]
    fvu, fvu_nonlinear = sums[per_dimension.fvu_key(rows)], sums[per_dimension.fvu_nonlinear_key(split, convention)]
    return {
        "vector_r2": held_out.estimate(lambda weights: 1 - mean_of_ratios(weights, unexplained), rank),
        "fvu_per_dim": pooled.estimate(lambda weights: mean_of_ratios(weights, fvu), 0),
        "fvu_nonlinear_per_dim": pooled.estimate(lambda weights: mean_of_ratios(weights, fvu_nonlinear), rank),
    }


def sae_estimates(hookpoint: HookpointSums, sums: Sums) -> dict[str, Any]:
    """All numbers of one SAE: split → convention → name → estimate."""
    return {
        split: {
            convention: {
                **scalar_estimates(hookpoint, sums, split, convention),
                **dimension_estimates(hookpoint, sums, split, convention),
            }
            for convention in ("paper", "authors")
        }
        for split in SPLITS
    }


def hookpoint_sums(arrays: Sums, rank: dict[str, int], bootstrap: dict[str, Any]) -> HookpointSums:
    """The shared sums from a hookpoint's per-dimension ones (`rows`, `x_sum`, `x_square`)."""
    return HookpointSums(arrays["rows"], arrays["x_square"].sum(-1), context_products(arrays), rank, bootstrap)


def context_products(arrays: Sums) -> Float[np.ndarray, "set context context"]:
    """(Σ x̃)·(Σ x̃)ᵀ of the contexts' sums, each product once: 0 below the diagonal."""
    return np.triu(np.einsum("scd,sed->sce", arrays["x_sum"], arrays["x_sum"], optimize=True))


def own_sums(arrays: Sums, rank: dict[str, int], bootstrap: dict[str, Any]) -> HookpointSums:
    """As `hookpoint_sums`, without the n² products of many contexts, which only a file to be committed needs."""
    if arrays["rows"].shape[1] <= MANY:
        return hookpoint_sums(arrays, rank, bootstrap)
    sums = metrics.ContextSums(arrays["x_sum"])
    return HookpointSums(arrays["rows"], arrays["x_square"].sum(-1), sums, rank, bootstrap)
