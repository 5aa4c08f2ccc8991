"""Numbers that do not have their interval yet: its levels depend on how many of them one claim judges.

An estimand gives, per component of its rule, one quantity or a list of keyed ones; `at` then makes the estimate. Its
interval holds the sources of noise that `variance` has a term for: contexts, the scatter of SAEs, the training seed.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol, runtime_checkable

import numpy as np
from jaxtyping import Float

from darkmatter.statistics.bootstrap import ContextBootstrap, Statistic, Weights
from darkmatter.statistics.estimate import Estimate
from darkmatter.statistics.held_out_numbers import HeldOutNumber
from darkmatter.statistics.joint_levels import joint, joint_level
from darkmatter.statistics.sae_estimates import estimate
from darkmatter.statistics.seed_noise import SeedNoise, seed_term
from darkmatter.statistics.variance_model import SEED_HELD, Term, combined, of_interval
from darkmatter.statistics.watched import WatchedStatistic

ROUNDING = 1e-9  # of a level

Bootstrap = dict[str, Any]  # `resamples`, `level`, `seed`
Combine = Callable[[Float[np.ndarray, "part resample"]], Float[np.ndarray, " resample"]]
# The term of the scatter of SAEs for an interval at the given level, or the reason why there is none. Where what is
# drawn from SAEs holds their seeds alone, the term is called `seed`.
OverSaes = Callable[[float], Term | str]


@runtime_checkable
class Quantity(Protocol):
    def at(self, bootstrap: Bootstrap, components: int) -> Estimate:
        """The number with its interval at the bootstrap's level, and at that of `components` together (`joint`)."""


@dataclass(frozen=True)
class Keyed:
    """One element of an `every:` list; `key` says which SAE, layer, pair … it is."""

    key: dict[str, Any]
    quantity: Quantity


Component = Quantity | list[Keyed]
Components = dict[str, Component]


@dataclass(frozen=True)
class Formula(HeldOutNumber):
    """One number of one SAE, and what is known of its seed.

    Attributes:
        sae: whose number it is.
        seeds: how it differs between SAEs that differ in their seed alone; a reason where none do.
    """

    sae: str = ""
    seeds: SeedNoise | str = "not asked for"

    @classmethod
    def of(cls, number: HeldOutNumber, seeds: SeedNoise | str, sae: str = "") -> "Formula":
        return cls(number.view, number.statistic, number.rank, sae, seeds)


@dataclass(frozen=True)
class Null:
    """A number that is not there, and why."""

    reason: str

    def at(self, bootstrap: Bootstrap, components: int) -> Estimate:
        return null(self.reason)


@dataclass(frozen=True)
class Fixed:
    """A number that has its interval at `level` already, or, where that is None, needs none."""

    estimate: Estimate
    level: float | None = None

    def at(self, bootstrap: Bootstrap, components: int) -> Estimate:
        if self.level is None:
            return dict(self.estimate)
        result = {**self.estimate, "level": self.level}
        if self.level < bootstrap["level"] - ROUNDING:
            result["short"] = f"its interval is at {self.level:.4g}, the rule needs {bootstrap['level']:.4g}"
        known = result.get("joint", result)["level"]
        if known < joint_level(bootstrap["level"], components) - ROUNDING:
            result["joint"] = {"level": known, "low": None, "high": None}
        return result


def exact(value: float) -> Quantity:
    """A number without sampling."""
    return Fixed({"value": value, "low": value, "high": value})


@dataclass(frozen=True)
class Sampled:
    """What `combine` makes of the numbers of several SAEs, resampled over the contexts that they share.

    Attributes:
        parts: on the same contexts, so that one weight of a context counts for all. Their rows may differ by the
            outliers of their hookpoints; the fewest are stated.
        over_saes: where the rule resamples SAEs too; their term is added to that of contexts.
        lacks: sources of noise that no term stands for → why.
    """

    parts: Sequence[Formula]
    combine: Combine
    over_saes: OverSaes | None = None
    lacks: Mapping[str, str] = field(default_factory=dict)

    def at(self, bootstrap: Bootstrap, components: int) -> Estimate:
        view = self.parts[0].view
        if any(not np.array_equal(part.view.used, view.used) for part in self.parts):
            raise ValueError("numbers of different contexts cannot be resampled together")
        together = joint(bootstrap, components)
        statistic = remembered(lambda weights: self.combine(np.stack([part.statistic(weights) for part in self.parts])))
        result = self.at_level(statistic, together | {"level": bootstrap["level"]})
        if components <= 1 or result["value"] is None:
            return result
        wide = self.at_level(statistic, together)
        return result | {"joint": {key: wide[key] for key in ("level", "low", "high")}}

    def at_level(self, statistic: Statistic, bootstrap: Bootstrap) -> Estimate:
        """The number with its interval at the bootstrap's level."""
        rows = min((part.view.rows for part in self.parts), key=np.sum)
        level = bootstrap["level"]
        units = ContextBootstrap(len(rows), bootstrap["resamples"], level, bootstrap["seed"])
        watched = WatchedStatistic(statistic, units.resamples)
        result = estimate(units, watched, rows, max(part.rank for part in self.parts))
        facts = {key: result[key] for key in ("rows", "contexts", "rank")} | {"saes": len(self.parts)}
        if result["value"] is None:
            return null("not defined: a variance or a norm is zero", **facts)
        if watched.too_often_undefined(level):
            return null("not defined in too many resamples of the contexts", **facts)
        result |= facts | {"level": level, "resamples": bootstrap["resamples"], "resampled": "context"}
        terms, absent = self.other_terms(level)
        context = of_interval("context", result["value"], (result["low"], result["high"]), len(rows), level)
        return result | combined(result["value"], [context, *terms], level) | lacking(absent)

    def other_terms(self, level: float) -> tuple[list[Term], dict[str, str]]:
        """The terms besides that of contexts, and which are absent, with the reason."""
        match of_saes := self.over_saes and self.over_saes(level):
            case Term(name="seed"):
                result = {"seed": of_saes}
            case Term():
                result = {"sae": of_saes, "seed": SEED_HELD}
            case _:
                result = {"sae": of_saes, "seed": seed_term(self.parts, self.combine)}
        terms = [term for term in result.values() if isinstance(term, Term)]
        return terms, {name: term for name, term in result.items() if isinstance(term, str)} | dict(self.lacks)


def lacking(absent: dict[str, str]) -> dict[str, Any]:
    """What an estimate says of terms that its interval lacks; without SAEs a rule over them establishes nothing."""
    short = {"short": absent["sae"]} if "sae" in absent else {}
    return {"absent": absent} | short if absent else {}


def null(reason: str, **facts: Any) -> Estimate:
    return {"value": None, "low": None, "high": None, **facts, "reason": reason}


def first(numbers: np.ndarray) -> np.ndarray:
    """The number of the only part."""
    return numbers[0]


def single(formula: Formula) -> Sampled:
    return Sampled([formula], first)


def remembered(statistic: Statistic) -> Statistic:
    """The same statistic, computed once for the same weights: a slope and a range ask for the same resamples."""
    known: dict[int, tuple[Weights, np.ndarray]] = {}  # with the weights, so that no other array takes their id

    def recall(weights: Weights) -> np.ndarray:
        if id(weights) not in known:
            known[id(weights)] = weights, statistic(weights)
        return known[id(weights)][1]

    return recall
