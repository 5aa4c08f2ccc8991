"""Ranks and shares of LinearError from sums per context: no torch.

    share of rank r  =  Σ ‖LinearError of rank r‖² / Σ ‖LinearError‖²      about the mean of the fitted rows
    r50, r90         =  the ranks at which that share is 0.5 and 0.9, straight between the ranks that are stored
    FVU at rank r    =  Σ ‖SaeError − LinearError of rank r‖² / Σ ‖x − x̄‖²

All over held-out rows; contexts are resampled, the maps and their directions are not fitted again.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Float

from darkmatter.statistics import metrics
from darkmatter.statistics.bootstrap import ContextBootstrap, Statistic, Weights
from darkmatter.statistics.sae_estimates import Estimate, HookpointSums, RowSet, Sums, estimate

HALF, MOST = 0.5, 0.9
WITHIN = ("in_components", "in_dense")


@dataclass(frozen=True)
class RankSums:
    """The sums of one SAE over the held-out rows of one split.

    Attributes:
        view: these rows, with their contexts' bootstrap.
        ranks: that are stored, from 0 to all directions.
        linear, left: [context, rank], squares of LinearError of each rank and of what it leaves of the error.
        within: name → [context], squares of LinearError within a span.
        rank: of the regression.
    """

    view: RowSet
    ranks: np.ndarray
    linear: Float[np.ndarray, "context rank"]
    left: Float[np.ndarray, "context rank"]
    within: Mapping[str, Float[np.ndarray, " context"]]
    rank: int

    @classmethod
    def of(cls, sums: Sums, split: str, hookpoint: HookpointSums) -> "RankSums":
        """From sums as `compute.measure` writes them, and those of x."""
        view = hookpoint.views[split]
        of_rows = {name: sums[f"{split}/{name}"][view.used] for name in ("linear", "left", *WITHIN)}
        linear, left, *within = (array.astype(np.float64) for array in of_rows.values())
        named = dict(zip(WITHIN, within, strict=True))
        return cls(view, sums["ranks"], linear, left, named, int(sums[f"{split}/rank"]))

    @property
    def d_model(self) -> int:
        return int(self.ranks[-1])

    def estimate(self, statistic: Statistic) -> Estimate:
        return self.view.estimate(statistic, self.rank)

    def shares(self, weights: Weights) -> Float[np.ndarray, "resample rank"]:
        """The share of every stored rank; NaN where LinearError has no variance."""
        held = weights @ self.linear
        return metrics.ratio(held, np.broadcast_to(held[:, -1:], held.shape))

    def share_at(self, rank: int) -> Statistic:
        """The share of one rank; all, where the model has fewer dimensions."""
        place = int(np.flatnonzero(self.ranks == min(rank, self.d_model))[0])
        return lambda weights: self.shares(weights)[:, place]

    def share_within(self, name: str) -> Statistic:
        return lambda weights: metrics.ratio(weights @ self.within[name], weights @ self.linear[:, -1])

    def rank_holding(self, share: float) -> Statistic:
        """The rank that holds a share."""
        return lambda weights: crossing(self.ranks, self.shares(weights), share)

    def fvu_at(self, rank: int, hookpoint: HookpointSums) -> Statistic:
        """What a rank leaves of x's variance."""
        left = self.left[:, int(np.flatnonzero(self.ranks == rank)[0])]
        square, cross = self.view.of_sums(hookpoint.square), hookpoint.cross_of(self.view)
        return lambda weights: metrics.fvu(weights, self.view.rows, square, cross, left)


def crossing(
    ranks: Float[np.ndarray, " rank"], shares: Float[np.ndarray, "resample rank"], share: float
) -> Float[np.ndarray, " resample"]:
    """Where each rising curve of shares, from 0 to 1, reaches `share`; straight between ranks, NaN of no curve."""
    after = (shares >= share).argmax(1)
    rows = np.arange(len(shares))
    low, high = shares[rows, after - 1], shares[rows, after]
    part = metrics.ratio(share - low, high - low)
    return np.where(np.isfinite(shares[:, -1]), ranks[after - 1] + part * (ranks[after] - ranks[after - 1]), np.nan)


def sae_numbers(sums: RankSums, hookpoint: HookpointSums, shown: list[int]) -> dict[str, Any]:
    """Every number of one SAE on one split.

    Args:
        shown: ranks of the curve.
    """
    return {
        "r50": sums.estimate(sums.rank_holding(HALF)),
        "r90": sums.estimate(sums.rank_holding(MOST)),
        "curve": [
            {
                "rank": rank,
                "share": sums.estimate(sums.share_at(rank)),
                "fvu": sums.estimate(sums.fvu_at(rank, hookpoint)),
            }
            for rank in shown
        ],
        **{name: sums.estimate(sums.share_within(name)) for name in WITHIN},
    }


def angles(cosines: Float[np.ndarray, " angle"], one: int, other: int, d_model: int) -> dict[str, Any]:
    """Principal angles between subspaces of `one` and `other` dimensions.

    `chance` is the mean cos² of such subspaces in uniformly random directions: each unit vector of the smaller one has,
    of its square, the larger one's share of all dimensions within the larger one.
    """
    return {
        "dimensions": other,
        "cosines": cosines.tolist(),
        "mean_square": float(np.mean(cosines**2)) if len(cosines) else None,
        "chance": max(one, other) / d_model if len(cosines) else None,
    }


def recovered(sums: Sums, downstream: Sums, sae: str, rank: int, whole: str) -> Statistic:
    """Cross-entropy that Sae(x) + LinearError of a rank wins back, as a share of what `whole` does.

    Args:
        sums: `SAE/ce/RANK` [context].
        downstream: `ce/clean`, `SAE/ce/sae`, `SAE/ce/linear` of the same contexts.
        whole: `clean`, x itself, or `linear`, the whole of LinearError.
    """
    base, after = downstream[f"{sae}/ce/sae"], sums[f"{sae}/ce/{rank}"]
    best = downstream["ce/clean" if whole == "clean" else f"{sae}/ce/{whole}"]
    return lambda weights: metrics.ratio(weights @ (base - after), weights @ (base - best))


def of_contexts(statistic: Statistic, rows: np.ndarray, rank: int, bootstrap: dict[str, Any]) -> Estimate:
    """An estimate over the contexts of the splices."""
    return estimate(ContextBootstrap(len(rows), **bootstrap), statistic, rows, rank)
