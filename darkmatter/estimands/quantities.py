"""Numbers that do not have their interval yet: its level depends on how many of them one claim judges.

An estimand gives, per component of its rule, one quantity or a list of keyed ones; `at` then makes the estimate.
"""

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Protocol

import numpy as np
from jaxtyping import Float

from darkmatter.bootstrap import ContextBootstrap, Statistic
from darkmatter.estimates import Estimate, RowSet, estimate
from darkmatter.joint import joint, joint_level
from darkmatter.watched import Watched

Bootstrap = dict[str, Any]  # `resamples`, `level`, `seed`
Combine = Callable[[Float[np.ndarray, "part resample"]], Float[np.ndarray, " resample"]]
# An interval over SAEs at the given bootstrap, or the reason why there is none.
OverSaes = Callable[[Bootstrap], tuple[float, float] | str]


class Quantity(Protocol):
    def at(self, bootstrap: Bootstrap, components: int) -> Estimate:
        """The number with its interval, one of `components` that hold together at the bootstrap's level."""


@dataclass(frozen=True)
class Keyed:
    """One element of an `every:` list; `key` says which SAE, layer, pair … it is."""

    key: dict[str, Any]
    quantity: Quantity


Component = Quantity | list[Keyed]
Components = dict[str, Component]


@dataclass(frozen=True)
class Formula:
    """One number of one SAE as a function of weights over the contexts of a set of rows."""

    view: RowSet
    statistic: Statistic
    rank: int


@dataclass(frozen=True)
class Null:
    """A number that is not there, and why."""

    reason: str

    def at(self, bootstrap: Bootstrap, components: int) -> Estimate:
        return null(self.reason)


@dataclass(frozen=True)
class Fixed:
    """A number that has its interval at `level` already, or, where that is None, needs none."""

    found: Estimate
    level: float | None = None

    def at(self, bootstrap: Bootstrap, components: int) -> Estimate:
        if self.level is None:
            return dict(self.found)
        found = {**self.found, "level": self.level}
        needed = joint_level(bootstrap["level"], components)
        if self.level < needed - 1e-9:
            found["short"] = f"its interval is at {self.level:.4g}, {components} components need {needed:.4g}"
        return found


def exact(value: float) -> Quantity:
    """A number without sampling."""
    return Fixed({"value": value, "low": value, "high": value})


@dataclass(frozen=True)
class Sampled:
    """What `combine` makes of the numbers of several SAEs, resampled over the contexts that they share.

    Attributes:
        parts: on the same contexts, so that one weight of a context counts for all. Their rows may differ by the
            outliers of their hookpoints; the fewest are stated.
        over_saes: where the rule resamples SAEs too; then the wider interval counts, and both are kept.
        many_resamples: whether `resamples` may exceed those of a single interval.
    """

    parts: Sequence[Formula]
    combine: Combine
    over_saes: OverSaes | None = None
    many_resamples: bool = True

    def at(self, bootstrap: Bootstrap, components: int) -> Estimate:
        own = bootstrap["resamples"]
        bootstrap = joint(bootstrap, components)
        if not self.many_resamples:
            bootstrap["resamples"] = own
        view = self.parts[0].view
        if any(not np.array_equal(part.view.used, view.used) for part in self.parts):
            raise ValueError("numbers of different contexts cannot be resampled together")
        rows = min((part.view.rows for part in self.parts), key=np.sum)
        units = units_of(len(view.used), bootstrap["resamples"], bootstrap["level"], bootstrap["seed"])

        statistic = Watched(
            lambda weights: self.combine(np.stack([part.statistic(weights) for part in self.parts])), units.resamples
        )
        found = estimate(units, statistic, rows, max(part.rank for part in self.parts))
        facts = {key: found[key] for key in ("rows", "contexts", "rank")} | {"saes": len(self.parts)}
        if found["value"] is None:
            return null("not defined: a variance or a norm is zero", **facts)
        if statistic.too_often_undefined(units.level):
            return null("not defined in too many resamples of the contexts", **facts)
        found |= facts | {"level": bootstrap["level"], "resamples": bootstrap["resamples"], "resampled": "context"}
        if self.over_saes is None:
            return found
        other = self.over_saes(bootstrap)
        if isinstance(other, str):
            return null(other, **facts)
        intervals = {"context": (found["low"], found["high"]), "sae": other}
        wider = max(intervals, key=lambda name: intervals[name][1] - intervals[name][0])
        low, high = intervals[wider]
        both = {name: {"low": ends[0], "high": ends[1]} for name, ends in intervals.items()}
        return found | {"low": low, "high": high, "resampled": wider, "intervals": both}


def null(reason: str, **facts: Any) -> Estimate:
    return {"value": None, "low": None, "high": None, **facts, "reason": reason}


@lru_cache(maxsize=32)
def units_of(units: int, resamples: int, level: float, seed: int) -> ContextBootstrap:
    """One object per set of arguments: its weights are drawn once."""
    return ContextBootstrap(units, resamples, level, seed)


def first(numbers: np.ndarray) -> np.ndarray:
    """The number of the only part."""
    return numbers[0]


def single(formula: Formula, many_resamples: bool = True) -> Sampled:
    return Sampled([formula], first, many_resamples=many_resamples)


def remembered(statistic: Statistic) -> Statistic:
    """The same statistic, computed once for the same weights: a slope and a range ask for the same resamples."""
    known: dict[bytes, np.ndarray] = {}

    def recall(weights: np.ndarray) -> np.ndarray:
        key = hashlib.blake2b(np.ascontiguousarray(weights)).digest()
        if key not in known:
            known[key] = statistic(weights)
        return known[key]

    return recall
