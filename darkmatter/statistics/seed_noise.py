"""The noise of the training seed in a number, from SAEs that differ in their seed alone: no torch.

It is measured at the sizes that were trained from several seeds and taken for every SAE: one model, few SAEs. All
numbers of one SAE move together with its seed (FVU and FVU_nonlinear, two norm tests), those of two SAEs apart.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

import numpy as np
from jaxtyping import Float

from darkmatter.params.saes import ALIKE
from darkmatter.statistics.bootstrap import each_once
from darkmatter.statistics.estimate import OfSeed
from darkmatter.statistics.variance_model import Term

T = TypeVar("T")
NO_SEEDS = "no two SAEs differ in their seed alone, so its noise is not known"
UNDEFINED = "the number is not defined for another seed"


def seed_groups(saes: Iterable[T], read: Callable[[T, str], Any]) -> list[list[T]]:
    """Those of the SAEs of one hookpoint that differ in their seed alone, two or more to a group.

    Args:
        read: gives a key of ALIKE, or `seed`, of an SAE.
    """
    groups: dict[tuple[Any, ...], list[T]] = {}
    for sae in saes:
        groups.setdefault(tuple(read(sae, key) for key in ALIKE), []).append(sae)
    return [group for group in groups.values() if len({read(sae, "seed") for sae in group}) > 1]


def names_alike(specs: Iterable[Any]) -> list[list[str]]:
    """Names of those of these SAEs (`SaeSpec`, of one hookpoint) that differ in their seed alone."""
    return [[spec.name for spec in group] for group in seed_groups(specs, getattr)]


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
    if isinstance(noise, str):
        return noise
    if isinstance(other, str):
        return other
    return SeedNoise(noise.deviations - other.deviations, noise.freedom)


def seed_term(parts: Sequence[Any], combine: Callable[[np.ndarray], np.ndarray]) -> Term | str:
    """What a new seed for each SAE does to a number that `combine` makes of theirs; or why that is not known.

    Args:
        parts: `quantities.Formula`s.
    """
    for part in parts:
        if isinstance(part.seeds, str):
            return part.seeds
    values = np.array([part.statistic(each_once(len(part.view.used)))[0] for part in parts])
    deviations = np.stack([part.seeds.deviations for part in parts])
    owners = np.array([part.sae for part in parts])
    moves = [np.where(owners[:, None] == owner, deviations, 0.0) for owner in dict.fromkeys(owners.tolist())]
    return moved_term(values, moves, combine, parts[0].seeds.freedom)


def moved_term(
    values: Float[np.ndarray, " part"],
    moves: Sequence[Float[np.ndarray, "part replicate"]],
    combine: Callable[[np.ndarray], np.ndarray],
    freedom: int,
    weights: Float[np.ndarray, " replicate"] | None = None,
) -> Term | str:
    """The term of a number that `combine` makes of values, each SAE's moved in turn by what another seed does to it.

    Args:
        moves: of each SAE, the ways in which it may move the values.
        combine: [part, column] → [column].
        freedom: of the moves of one SAE: Σ weight · change² over it is what that SAE adds to the variance.
        weights: of the replicates; None: 1 each.
    """
    result = combine(np.concatenate([values[:, None], *(values[:, None] + move for move in moves)], axis=1))
    changes = np.square(result[1:] - result[0]).reshape(len(moves), -1)
    variance = float((changes if weights is None else changes * weights).sum() / freedom)
    return Term("seed", variance**0.5, variance**0.5, freedom) if np.isfinite(variance) else UNDEFINED


def own_moves(count: int, noise: SeedNoise) -> list[Float[np.ndarray, "part replicate"]]:
    """Moves of `count` SAEs that have one value each."""
    moves = np.zeros((count, count, len(noise.deviations)))
    moves[range(count), range(count)] = noise.deviations
    return list(moves)


def seed_fact(
    values: Sequence[float | None],
    groups: Sequence[Sequence[float | None]],
    combine: Callable[[np.ndarray], np.ndarray] = lambda values: values[0],
) -> dict[str, OfSeed]:
    """What an estimate says of its seed's noise, where `combine` makes it of one value for each SAE.

    Args:
        values: of the SAEs.
        groups: the same number of those that differ in their seed alone; none: then nothing is said.
        combine: [sae, column] → [column]; the value of the only SAE.
    """
    if not groups:
        return {}
    own, *others = ([np.nan if value is None else value for value in group] for group in (values, *groups))
    noise = SeedNoise.of(others)
    return of_seed(moved_term(np.array(own), own_moves(len(own), noise), combine, noise.freedom))


def of_one(value: float | None, groups: Sequence[Sequence[float | None]]) -> dict[str, OfSeed]:
    """As `seed_fact`, of a number of one SAE; nothing is said of a null."""
    return seed_fact([value], groups) if value is not None else {}


def of_seed(term: Term | str) -> dict[str, OfSeed]:
    """The term of the seed in an estimate of an experiment, whose own interval does not hold it."""
    if isinstance(term, str):
        return {"of_seed": {"reason": term}}
    return {"of_seed": {"deviation": term.above, "freedom": int(term.freedom)}}
