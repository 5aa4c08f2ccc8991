"""Numbers of the SAEs under each null from sums per context: no torch.

Sums have the form of a hookpoint's committed ones, so that the numbers are made as those of the decomposition are.
"""

from dataclasses import dataclass, field
from typing import Any

import numpy as np

from darkmatter.statistics import metrics
from darkmatter.statistics.held_out_numbers import HeldOutNumber, OpenSums
from darkmatter.statistics.sae_estimates import Sums, dimension_estimates, scalar_estimates
from darkmatter.storage.packed_sums import select

OF_SCALARS = ("norm_r2", "fvu", "fvu_nonlinear", "norm_test", "norm_ratio", "cos_linear_x")


def lead(one: np.ndarray, other: np.ndarray) -> np.ndarray:
    return one - other


def ratio(one: np.ndarray, other: np.ndarray) -> np.ndarray:
    return metrics.ratio(one, other)


def with_intervals(number: Any) -> Any:
    """A `HeldOutNumber` as its estimate; a group of them as a group of estimates."""
    if isinstance(number, HeldOutNumber):
        return number.estimate()
    return {name: with_intervals(one) for name, one in number.items()}


@dataclass(frozen=True)
class NullSums:
    """The sums of one null, or of the trained SAEs.

    Attributes:
        arrays: as committed of a hookpoint.
        rank: of each fit set's regression.
    """

    arrays: Sums
    rank: dict[str, int]
    known: dict[Any, dict[str, Any]] = field(default_factory=dict, repr=False, compare=False)

    def numbers(self, sae: str, split: str, convention: str, bootstrap: dict[str, Any]) -> dict[str, Any]:
        """Name → `HeldOutNumber`, of one SAE."""
        key = (sae, split, convention, *bootstrap.items())
        if key not in self.known:
            shared = [self.arrays[name] for name in ("rows", "square", "cross")]
            hookpoint, own = OpenSums(*shared, self.rank, bootstrap), select(self.arrays, sae)
            scalars = scalar_estimates(hookpoint, own, split, convention)
            of_dimensions = dimension_estimates(hookpoint, own, split, convention)
            self.known[key] = {name: scalars[name] for name in OF_SCALARS} | {"vector_r2": of_dimensions["vector_r2"]}
        return self.known[key]

    def estimates(self, sae: str, split: str, convention: str, bootstrap: dict[str, Any]) -> dict[str, Any]:
        """The same numbers with their intervals."""
        return with_intervals(self.numbers(sae, split, convention, bootstrap))

    def latents(self, sae: str) -> tuple[float, int]:
        """Mean L0, and how many latents never fire."""
        own = select(self.arrays, sae)
        fired, latents = own["latent_fired"].tolist()
        return float(own["sum/l0"][-1].sum() / self.arrays["rows"][-1].sum()), int(latents - fired)
