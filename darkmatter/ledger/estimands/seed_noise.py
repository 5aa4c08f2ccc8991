"""The noise of the training seed in a number, from SAEs that differ in their seed alone.

It is measured at the sizes that were trained from several seeds and taken for every SAE: one model, few SAEs. All
numbers of one SAE move together with its seed (FVU and FVU_nonlinear, two norm tests), those of two SAEs apart.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Float

from darkmatter.statistics.variance_model import Term

NO_SEEDS = "no two SAEs differ in their seed alone, so its noise is not known"


@dataclass(frozen=True)
class SeedNoise:
    """How far numbers scatter between SAEs that differ in their seed alone.

    Attributes:
        deviations: of each SAE trained from several seeds, from the mean over its seeds; in one order for every number.
        freedom: one less than there are SAEs, for each mean: Σ deviations² over it is the variance.
    """

    deviations: Float[np.ndarray, " sae"]
    freedom: int

    @classmethod
    def of(cls, groups: Sequence[Sequence[float]]) -> "SeedNoise":
        """The scatter of numbers around the mean over their seeds.

        Args:
            groups: values of the SAEs that differ in their seed alone, two or more each.
        """
        values = [np.asarray(group, dtype=float) for group in groups]
        deviations = np.concatenate([group - group.mean() for group in values])
        return cls(deviations, sum(len(group) - 1 for group in values))


def less(noise: SeedNoise | str, other: SeedNoise | str) -> SeedNoise | str:
    """The seeds' noise of a difference of two numbers of one SAE, or the reason why one of them has none."""
    for one in (noise, other):
        if isinstance(one, str):
            return one
    return SeedNoise(noise.deviations - other.deviations, noise.freedom)


def seed_term(parts: Sequence[Any], combine: Callable[[np.ndarray], np.ndarray]) -> Term | str:
    """What a new seed for each SAE does to a number that `combine` makes of theirs; or why that is not known.

    Args:
        parts: `quantities.Formula`s.
    """
    for part in parts:
        if isinstance(part.seeds, str):
            return part.seeds
    noise = [part.seeds for part in parts]
    values = np.array([part.statistic(np.ones((1, len(part.view.used))))[0] for part in parts])
    owners = list(dict.fromkeys(part.sae for part in parts))
    replicates = len(noise[0].deviations)
    moved = np.repeat(values[:, None], 1 + len(owners) * replicates, axis=1)  # (part, as it is and each move)
    for number, owner in enumerate(owners):
        columns = slice(1 + number * replicates, 1 + (number + 1) * replicates)
        for row, part in enumerate(parts):
            if part.sae == owner:
                moved[row, columns] += part.seeds.deviations
    result = combine(moved)
    variance = float(np.square(result[1:] - result[0]).sum() / noise[0].freedom)
    if not np.isfinite(variance):
        return "the number is not defined for another seed"
    return Term("seed", variance**0.5, variance**0.5, noise[0].freedom)
