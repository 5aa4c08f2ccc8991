"""Numbers of one SAE as functions of weights over contexts: an interval is made last, after all else."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from darkmatter.regression.splits import ROW_SETS
from darkmatter.statistics.bootstrap import Statistic
from darkmatter.statistics.estimate import Estimate
from darkmatter.statistics.sae_estimates import HookpointSums, RowSet
from darkmatter.storage.artifacts import ArtifactError

Combine = Callable[[np.ndarray, np.ndarray], np.ndarray]


@dataclass(frozen=True)
class HeldOutNumber:
    """A number as a function of weights over the contexts of a set of rows.

    Attributes:
        rank: of the regression behind it.
    """

    view: RowSet
    statistic: Statistic
    rank: int

    def estimate(self) -> Estimate:
        """The number with its interval."""
        return self.view.estimate(self.statistic, self.rank)

    def against(self, other: "HeldOutNumber", combine: Combine) -> Estimate:
        """What `combine` makes of this number and another one, resampled over contexts of the same number.

        Where both are of the same contexts, one weight counts for both; where their rows have nothing to do with each
        other, as a Gaussian's and a model's, neither do the numbers of one context, and variances add.

        Raises:
            ArtifactError: other contexts have rows of the set.
        """
        if not np.array_equal(self.view.used, other.view.used):
            raise ArtifactError("two numbers that are compared score different contexts. Run `dvc repro -f results`.")
        return self.view.estimate(
            lambda weights: combine(self.statistic(weights), other.statistic(weights)), max(self.rank, other.rank)
        )


class OpenRows(RowSet):
    """Rows on which the formulas of `sae_estimates` give a `HeldOutNumber` in place of an estimate."""

    def estimate(self, statistic: Statistic, rank: int) -> Any:
        return HeldOutNumber(RowSet(self.number, self.used, self.rows, self.bootstrap), statistic, rank)


class OpenSums(HookpointSums):
    @cached_property
    def views(self) -> dict[str, RowSet]:
        return {name: OpenRows.of(self, name) for name in ROW_SETS}
