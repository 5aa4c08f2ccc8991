"""Numbers of the SAEs under each null from sums per context: no torch.

Sums have the form of a hookpoint's committed ones, so that the numbers are made as those of the decomposition are.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from darkmatter.decomposition.rounded_sums import DIMENSIONS, restored, restored_x
from darkmatter.regression.splits import ROW_SETS
from darkmatter.statistics import metrics
from darkmatter.statistics.bootstrap import Statistic
from darkmatter.statistics.sae_estimates import (
    Estimate,
    HookpointSums,
    RowSet,
    Sums,
    dimension_estimates,
    scalar_estimates,
)
from darkmatter.storage.artifacts import ArtifactError
from darkmatter.storage.packed_sums import select

OF_SCALARS = ("norm_r2", "fvu", "fvu_nonlinear", "norm_test", "norm_ratio", "cos_linear_x")
Combine = Callable[[np.ndarray, np.ndarray], np.ndarray]


@dataclass(frozen=True)
class HeldOutNumber:
    """A number as a function of weights over the contexts of a set of rows."""

    view: RowSet
    statistic: Statistic
    rank: int

    def against(self, other: "HeldOutNumber", combine: Combine) -> Estimate:
        """What `combine` makes of this number and another one, resampled over contexts of the same number.

        Where both are of the same contexts, one weight counts for both; where their rows have nothing to do with each
        other, as a Gaussian's and a model's, neither do the numbers of one context, and variances add.

        Raises:
            ArtifactError: other contexts have rows of the set.
        """
        if not np.array_equal(self.view.used, other.view.used):
            raise ArtifactError("a null and the trained SAEs score different contexts. Run `dvc repro -f nulls`.")
        return self.view.estimate(
            lambda weights: combine(self.statistic(weights), other.statistic(weights)), max(self.rank, other.rank)
        )


def lead(one: np.ndarray, other: np.ndarray) -> np.ndarray:
    return one - other


def ratio(one: np.ndarray, other: np.ndarray) -> np.ndarray:
    return metrics.ratio(one, other)


class OpenRows(RowSet):
    """Rows on which the formulas of `sae_estimates` give themselves in place of an estimate."""

    def estimate(self, statistic: Statistic, rank: int) -> Any:
        return HeldOutNumber(RowSet(self.number, self.used, self.rows, self.bootstrap), statistic, rank)


class OpenSums(HookpointSums):
    @cached_property
    def views(self) -> dict[str, RowSet]:
        return {name: OpenRows.of(self, name) for name in ROW_SETS}


@dataclass(frozen=True)
class NullSums:
    """The sums of one null, or of the trained SAEs.

    Attributes:
        arrays: as committed of a hookpoint.
        rank: of each fit set's regression.
    """

    arrays: Sums
    rank: dict[str, int]

    def numbers(
        self, sae: str, split: str, convention: str, bootstrap: dict[str, Any], kind: type[HookpointSums]
    ) -> dict[str, Any]:
        """The numbers of one SAE that need no sums but those of held-out rows."""
        shared = [self.arrays[name] for name in ("rows", "square", "cross")]
        hookpoint, own = kind(*shared, self.rank, bootstrap), select(self.arrays, sae)
        scalars = scalar_estimates(hookpoint, own, split, convention)
        dimensions = restored(hookpoint.rows, select(own, DIMENSIONS))
        x_sums = restored_x(hookpoint.rows, self.arrays)
        vector_r2 = dimension_estimates(hookpoint, x_sums, dimensions, split, convention)["vector_r2"]
        return {name: scalars[name] for name in OF_SCALARS} | {"vector_r2": vector_r2}

    def estimates(self, sae: str, split: str, convention: str, bootstrap: dict[str, Any]) -> dict[str, Any]:
        return self.numbers(sae, split, convention, bootstrap, HookpointSums)

    def number(self, sae: str, split: str, convention: str, bootstrap: dict[str, Any], name: str) -> HeldOutNumber:
        return self.numbers(sae, split, convention, bootstrap, OpenSums)[name]

    def latents(self, sae: str) -> tuple[float, int]:
        """Mean L0, and how many latents never fire."""
        own = select(self.arrays, sae)
        fired, latents = own["latent_fired"].tolist()
        return float(own["sum/l0"][-1].sum() / self.arrays["rows"][-1].sum()), int(latents - fired)
