"""The training seed in intervals that an experiment has made: added where it was measured, else absent, with a reason.

A stage's own interval is over contexts, latents, tokens or draws. Where it also ran on SAEs that differ in their seed
alone, its estimates say what another seed does to them (`of_seed`), and a rule that resamples seeds adds that term.
"""

from dataclasses import replace
from typing import Any

import numpy as np

from darkmatter.ledger.estimands.quantities import Component, Fixed, Keyed
from darkmatter.statistics.estimate import Estimate, OfSeed
from darkmatter.statistics.variance_model import Term, combined, interval, of_interval

NOT_RUN = "this experiment was not run on SAEs that differ in their seed alone: its noise is not known"
NOT_ASKED = "the rule does not ask for it"


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
    term = Term("seed", found["deviation"], found["deviation"], found["freedom"])
    return replace(component, estimate=widened(result, term, component.level))


def widened(estimate: Estimate, term: Term, level: float) -> Estimate:
    """The estimate with one more term in its intervals of both levels."""
    value = estimate["value"]
    absent = {name: why for name, why in estimate.get("absent", {}).items() if name != term.name}
    own = own_term(estimate, (estimate["low"], estimate["high"]), level)
    result = estimate | combined(value, [own, term], level, absent)
    if (wide := estimate.get("joint")) and wide["low"] is not None:
        own = own_term(estimate, (wide["low"], wide["high"]), wide["level"])
        low, high = interval(value, [own, term], wide["level"])
        result["joint"] = {"level": wide["level"], "low": low, "high": high}
    return result


def own_term(estimate: Estimate, ends: tuple[float, float], level: float) -> Term:
    """What the stage's own interval stands for: a bootstrap, or the t interval of draws."""
    name = str(estimate.get("resampled", "context"))
    if "by_seed" in estimate:
        drawn = np.array(estimate["by_seed"])
        deviation = float(drawn.std(ddof=1) / np.sqrt(len(drawn)))
        return Term(name, deviation, deviation, len(drawn) - 1)
    return of_interval(name, estimate["value"], ends, estimate["rows" if name == "token" else "contexts"], level)
