"""Numbers of variants at one L0, alone and against each other, and what another seed does to them: no torch."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise
from typing import Any

import numpy as np

from darkmatter.experiments.architectures.estimates import (
    FITTED,
    NUMBERS,
    Combine,
    CurvePoint,
    around,
    between,
    statistics_of,
    withheld,
)
from darkmatter.experiments.architectures.names import of_variant, variants
from darkmatter.experiments.architectures.params import Architectures, Size
from darkmatter.statistics.bootstrap import Statistic, Weights, each_once
from darkmatter.statistics.estimate import Estimate, OfSeed
from darkmatter.statistics.sae_estimates import HookpointSums, Sums
from darkmatter.statistics.seed_noise import NO_SEEDS, SeedNoise, moved_term, of_seed
from darkmatter.storage.packed_sums import select

RANK = "rank"  # RANK/SPLIT of the regression
BySeed = Mapping[int, Mapping[str, Statistic]]  # seed → number → what it is at the L0


@dataclass(frozen=True)
class Matched:
    """The sums of all SAEs over the held-out rows of one split, with one bootstrap.

    Attributes:
        arrays: content of STORED.
    """

    arrays: Sums
    own: Architectures
    split: str
    bootstrap: Mapping[str, Any]

    @cached_property
    def hookpoint(self) -> HookpointSums:
        rank = {self.split: int(self.arrays[f"{RANK}/{self.split}"])}
        return HookpointSums(*(self.arrays[name] for name in ("rows", "square", "cross")), rank, dict(self.bootstrap))

    def of_sae(self, name: str) -> dict[str, Statistic]:
        return statistics_of(self.hookpoint, select(self.arrays, name), self.split)

    @cached_property
    def at_l0(self) -> dict[tuple[int, str], BySeed | str]:
        """(d_sae, variant) → its numbers at the L0, of each seed; or why it has none."""
        pairs = [(size, variant) for size in self.own.sizes for variant in variants(self.own)]
        return {(size.d_sae, variant): self.of_seeds(size, variant) for size, variant in pairs}

    def of_seeds(self, size: Size, variant: str) -> BySeed | str:
        contexts = len(self.hookpoint.views[self.split].used)
        saes = of_variant(self.own, size, variant)
        if not saes:
            return "this architecture is left out at this size"
        result: dict[int, Mapping[str, Statistic]] = {}
        for seed in size.seeds:
            points = [CurvePoint.of(self.of_sae(sae.name), contexts) for sae in saes if sae.seed == seed]
            if isinstance(pair := around(points, self.own.l0), str):
                return pair
            result[seed] = {name: between(*pair, self.own.l0, name) for name in NUMBERS}
        return result

    @cached_property
    def seed_noise(self) -> dict[str, SeedNoise]:
        """Number → how far it scatters between seeds, over everything that has several; nothing where nothing has."""
        ones = each_once(len(self.hookpoint.views[self.split].used))
        several = [found for found in self.at_l0.values() if not isinstance(found, str) and len(found) > 1]
        groups = {name: [[float(of[name](ones)[0]) for of in found.values()] for found in several] for name in NUMBERS}
        return {name: SeedNoise.of(values) for name, values in groups.items() if values}

    def estimate(self, d_sae: int, parts: Sequence[tuple[str, str]], combine: Combine) -> Estimate:
        """What `combine` makes of numbers of variants of one size; the same contexts, with the same weights, for each.

        Args:
            parts: (variant, number).
        """
        found: list[tuple[str, str, BySeed]] = []
        for variant, name in parts:
            if isinstance(seeds := self.at_l0[d_sae, variant], str):
                return withheld(f"{variant}: {seeds}")
            found.append((variant, name, seeds))
        view = self.hookpoint.views[self.split]
        rank = self.hookpoint.rank[self.split] if {name for _, name in parts} & {*FITTED} else 0

        def statistic(weights: Weights) -> np.ndarray:
            means = [np.mean([of[name](weights) for of in seeds.values()], axis=0) for _, name, seeds in found]
            return combine(np.stack(means))

        result: Estimate = view.estimate(statistic, rank)
        if result["value"] is not None:
            result["of_seed"] = self.of_seed(found, combine)
        return result

    def of_seed(self, found: Sequence[tuple[str, str, BySeed]], combine: Combine) -> OfSeed:
        """What new seeds do to an estimate: all numbers of one variant and seed move together, others apart."""
        if not self.seed_noise:
            return {"reason": NO_SEEDS}
        ones = each_once(len(self.hookpoint.views[self.split].used))
        saes = [(variant, seed, name) for variant, name, seeds in found for seed in seeds]
        values = np.array([float(of[name](ones)[0]) for _, name, seeds in found for of in seeds.values()])
        deviations = np.stack([self.seed_noise[name].deviations for _, _, name in saes])
        owners = [(variant, seed) for variant, seed, _ in saes]
        moves = [
            np.where(np.array([owner == one for one in owners])[:, None], deviations, 0.0)
            for owner in dict.fromkeys(owners)
        ]
        counts = np.cumsum([0, *(len(seeds) for _, _, seeds in found)])

        def of_means(columns: np.ndarray) -> np.ndarray:
            return combine(np.stack([columns[first:last].mean(axis=0) for first, last in pairwise(counts)]))

        freedom = next(iter(self.seed_noise.values())).freedom
        return of_seed(moved_term(values, moves, of_means, freedom))["of_seed"]
