"""The training seed in intervals that an experiment has made: added where it was measured, else absent, with a reason.

A stage's own interval is over contexts, latents, tokens or draws. Where it also ran on SAEs that differ in their seed
alone, its estimates say what another seed does to them (`of_seed`), and a rule that resamples seeds adds that term.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from darkmatter.ledger.estimands.quantities import Component, Fixed, Keyed
from darkmatter.statistics.estimate import Estimate, OfSeed
from darkmatter.statistics.variance_model import Term, combined, interval, of_interval

NOT_RUN = "this experiment does not say what another training seed does: its noise is not known"
NOT_ASKED = "the rule does not ask for it"


@dataclass(frozen=True)
class WithSeed(Fixed):
    """A number whose interval holds the training seed.

    Attributes:
        terms: what it holds: the stage's own interval as one, and the seed.
    """

    terms: tuple[Term, ...] = ()

    def ends(self, level: float) -> tuple[float, float]:
        """Of its interval at any level."""
        return interval(self.estimate["value"], self.terms, level)


def with_seed(component: Component, asked: bool) -> Component:
    """A component of an experiment's estimand, its intervals with the seed's term or without it.

    Args:
        asked: whether the term is added where it is known.
    """
    if isinstance(component, list):
        return [Keyed(one.key, with_seed(one.quantity, asked)) for one in component]
    if not isinstance(component, Fixed):
        return component
    result: dict[str, Any] = dict(component.estimate)
    found: OfSeed = result.pop("of_seed", {})
    names = str(result.get("resampled", "")).split(", ")
    if "seed" in (*names, *result.get("absent", ())):
        return component
    if not asked or "deviation" not in found:
        reason = found.get("reason", NOT_ASKED if found else NOT_RUN)
        return replace(component, estimate=result | {"absent": result.get("absent", {}) | {"seed": reason}})
    term, level = Term("seed", found["deviation"], found["deviation"], found["freedom"]), component.level
    own = own_term(result, result, level)
    return WithSeed(widened(result, own, term, level) | {"of_seed": found}, level, (own, term))


def widened(estimate: Estimate, own: Term, term: Term, level: float) -> Estimate:
    """The estimate with one more term in its intervals of both levels.

    Args:
        own: what its interval at `level` stands for.
    """
    value, before = estimate["value"], estimate.get("intervals", {})
    absent = {name: why for name, why in estimate.get("absent", {}).items() if name != term.name}
    result = estimate | combined(value, [own, term], level, absent)
    if before:  # each source that the stage's own interval is made of
        result["intervals"] = before | {term.name: result["intervals"][term.name]}
    if (wide := estimate.get("joint")) and wide["low"] is not None:
        wide_own = own_term(estimate, wide, wide["level"])
        low, high = interval(value, [wide_own, term], wide["level"])
        result["joint"] = {"level": wide["level"], "low": low, "high": high}
    return result


def own_term(estimate: Estimate, ends: Mapping[str, Any], level: float) -> Term:
    """What the stage's own interval stands for: a bootstrap, or the t interval of draws.

    Args:
        ends: `low` and `high` at `level`.
    """
    name = str(estimate.get("resampled", "context"))
    if "by_seed" in estimate:
        drawn = np.array(estimate["by_seed"])
        deviation = float(drawn.std(ddof=1) / np.sqrt(len(drawn)))
        return Term(name, deviation, deviation, len(drawn) - 1)
    units = estimate["rows" if name == "token" else "contexts"]
    return of_interval(name, estimate["value"], (ends["low"], ends["high"]), units, level)
