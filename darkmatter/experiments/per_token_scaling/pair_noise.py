"""What the training seed does to predictions of one SAE's error norm from another's: no torch.

An SAE is the narrower one of some pairs and the wider one of others, and its seed moves both. How far, SAEs that differ
in their seed alone say: as the wider of a pair with each narrower SAE compared, and as the narrower of a pair with each
wider one. One of either makes a replicate; the variance is the mean over replicates.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from typing import Any

import numpy as np
from jaxtyping import Float

from darkmatter.experiments.per_token_scaling.estimates import GAINS, OfPairs, Pair
from darkmatter.statistics.estimate import Estimate
from darkmatter.statistics.paired_r2 import slope
from darkmatter.statistics.seed_noise import moved_term, of_seed
from darkmatter.statistics.variance_model import Term

LACKING = "of the SAEs compared none is narrower, or none is wider, than those that differ in their seed alone"

R2 = Mapping[tuple[str, str], Float[np.ndarray, " kind"]]


@dataclass(frozen=True)
class PairNoise:
    """How R² of the pairs move when one of their SAEs has another seed.

    Attributes:
        values: [kind, pair].
        moves: of each SAE compared, [kind, pair, replicate].
        weights: of the replicates; freedom: of the moves, as in `moved_term`.
    """

    values: Float[np.ndarray, "kind pair"]
    moves: Sequence[Float[np.ndarray, "kind pair replicate"]]
    weights: Float[np.ndarray, " replicate"]
    freedom: int

    @classmethod
    def of(
        cls, every: Sequence[Pair], pairs: Sequence[Pair], groups: Sequence[Sequence[str]], split: str, variant: str
    ) -> "PairNoise | str | None":
        """From the pairs of all SAEs; the reason where it is not known, None where no SAEs differ in their seed alone.

        Args:
            pairs: those compared.
            groups: names of SAEs that differ in their seed alone.
        """
        if not groups:
            return None
        r2 = {pair.ends: np.array([part.value for part in pair.parts(split, variant)]) for pair in every}
        compared = list(dict.fromkeys(end for pair in pairs for end in pair.ends))
        found = {tuple(group): moved for group in groups if (moved := replicates(group, compared, r2)) is not None}
        if not found:
            return LACKING
        wide, narrow, weights = (np.concatenate(parts, axis=-1) for parts in zip(*found.values(), strict=True))
        values = np.stack([r2[pair.ends] for pair in pairs], axis=1)
        moves = [
            np.stack(
                [
                    narrow if own == pair.ends[0] else wide if own == pair.ends[1] else np.zeros_like(wide)
                    for pair in pairs
                ],
                axis=1,
            )
            for own in compared
        ]
        return cls(values, moves, weights, sum(len(group) - 1 for group in found))

    def term(self, combine: OfPairs) -> Term | str:
        """The seed's term of a number that `combine` makes of all R²."""
        shape = self.values.shape
        return moved_term(
            self.values.ravel(),
            [move.reshape(-1, move.shape[-1]) for move in self.moves],
            lambda columns: combine(columns.reshape(*shape, -1)),
            self.freedom,
            self.weights,
        )


def with_noise(
    estimands: Mapping[str, Mapping[str, Any]], pairs: Sequence[Pair], noise: PairNoise | str | None
) -> dict[str, Any]:
    """What `scaling_estimands` made of the pairs, each number with what the training seed does to it."""
    doublings = np.array([pair.doublings for pair in pairs])

    def added(result: Estimate, combine: OfPairs) -> Estimate:
        if noise is None or result["value"] is None:
            return result
        return result | of_seed(noise if isinstance(noise, str) else noise.term(combine))

    scaling, gains = (estimands[name] for name in ("per_token_scaling", "nonlinear_scaling_gain"))
    of_pairs = [added(one, lambda r2, place=place: r2[0, place]) for place, one in enumerate(scaling["r2"])]
    distance = added(scaling["distance"], lambda r2: slope(doublings, r2[0]))
    return {
        "per_token_scaling": {"distance": distance, "r2": of_pairs},
        "nonlinear_scaling_gain": {name: added(gains[name], combine) for name, combine in GAINS.items()},
    }


def replicates(
    group: Sequence[str], compared: Sequence[str], r2: R2
) -> tuple[np.ndarray, np.ndarray, np.ndarray] | None:
    """Deviations [kind, replicate] of an SAE as the wider and as the narrower of a pair, and the replicates' weights.

    None where no SAE compared is narrower, or none is wider.
    """
    narrower = [other for other in compared if (other, group[0]) in r2]
    wider = [other for other in compared if (group[0], other) in r2]
    if not narrower or not wider:
        return None
    wide = {one: np.array([r2[one, own] for own in group]) for one in narrower}  # [seed, kind]
    narrow = {one: np.array([r2[own, one] for own in group]) for one in wider}
    both = list(product(narrower, wider))
    deviations = [
        np.concatenate([(side[one] - side[one].mean(0)).T for one in ends], axis=1)
        for side, ends in ((wide, [one for one, _ in both]), (narrow, [one for _, one in both]))
    ]
    return *deviations, np.full(len(both) * len(group), 1 / len(both))
