"""The two ways to reduce nonlinear error set against each other (abstract and section 6), on one SAE.

The R² of NonlinearError from a prior component is the share of it that a linear map takes away; the relative fall of
FVU_nonlinear by gradient pursuit is the share that another encoder takes away. The two experiments score different
contexts and keep no sums in common, so that their intervals are added, end to end, as at the worst correlation. Where
both ran on SAEs that differ in their seed alone, the seed's noise is that of the lead itself, from SAE to SAE.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from scipy.stats import norm

from darkmatter.experiments.components.estimates import POOLED as POOLED_TARGET
from darkmatter.experiments.components.estimates import POOLED_NUMBER, r2_of
from darkmatter.experiments.components.results import FURTHER
from darkmatter.ledger.estimands.by_dimension import pursuit_takes_away
from darkmatter.ledger.estimands.evidence import PER_DIMENSION, POOLED, Evidence, Missing, Variant
from darkmatter.ledger.estimands.experiments import of_experiment
from darkmatter.ledger.estimands.quantities import Bootstrap, Component, Components, Fixed, Keyed, Quantity, null
from darkmatter.ledger.estimands.stage_seeds import NOT_RUN, WithSeed
from darkmatter.params.conventions import PRIMARY
from darkmatter.params.given import given
from darkmatter.statistics.bootstrap import each_once
from darkmatter.statistics.estimate import Estimate
from darkmatter.statistics.joint_levels import joint_level
from darkmatter.statistics.seed_noise import NO_SEEDS, SeedNoise, moved_term, names_alike, own_moves
from darkmatter.statistics.variance_model import Term, combined, of_interval
from darkmatter.storage.artifacts import read_arrays


def reduction_lead(evidence: Evidence, variant: Variant) -> Components:
    """`lead`: the most that a prior component explains minus what pursuit takes away; both are next to it.

    The components' R² is a mean over dimensions already.

    Raises:
        Missing: one of the two has no results, or pursuit was not run on the SAE whose error the components explain.
    """
    changes = of_experiment("pursuit", "pursuit_nonlinear_change")(evidence, variant)["change"]
    return lead_of(evidence, explained(evidence, variant, "components_explain_nonlinear"), changes)


def reduction_lead_of_one_measure(evidence: Evidence, variant: Variant, seed: bool = False) -> Components:
    """As `reduction_lead`, both shares pooled over dimensions, or both the mean over dimensions of that of each.

    NonlinearError has mean zero where b* has an intercept, so that its share about the mean is that about zero.

    Args:
        seed: whether the intervals hold the noise of the training seed, where the stages have measured it.

    Raises:
        Missing: as `reduction_lead`.
    """
    if variant.fvu == PER_DIMENSION:
        parts = explained(evidence, variant, "components_explain_nonlinear", seed)
        return lead_of(evidence, parts, pursuit_takes_away(evidence, seed)["change"])
    parts = explained(evidence, variant, "components_explain_nonlinear_pooled", seed)
    changes = of_experiment("pursuit", "pursuit_nonlinear_change", seed)(evidence, variant)["change"]
    return lead_of(evidence, parts, changes)


def reduction_lead_of_same_saes(evidence: Evidence, variant: Variant) -> Components:
    """As `reduction_lead_of_one_measure`, with the seed's noise as one term of the lead.

    Raises:
        Missing: as `reduction_lead`.
    """
    plain, beside = (reduction_lead_of_one_measure(evidence, variant, seed) for seed in (False, True))
    return beside | {"lead": replace(plain["lead"], seeds=seeds_of_lead(evidence, variant))}


def seeds_of_lead(evidence: Evidence, variant: Variant) -> SeedNoise | str:
    """How far the lead differs between SAEs that differ in their seed alone, or why that is not known."""
    chosen = evidence.params.components
    if evidence.components_sums is None or not chosen.further_saes:
        return NOT_RUN
    sums = evidence.once("sums of components", lambda: read_arrays(evidence.components_sums))
    by_dimension = variant.fvu == PER_DIMENSION
    number = "/".join((POOLED_TARGET, *PRIMARY) if by_dimension else (POOLED_NUMBER, variant.split, variant.convention))
    places = {chosen.sae: ""} | {name: f"{FURTHER}/{name}/" for name in chosen.further_saes}
    best = {
        name: max(r2_of(sums[f"{place}{parent}/{number}"]) for parent in chosen.parents)
        for name, place in places.items()
    }
    pursued = changes_by_dimension(evidence) if by_dimension else changes_of(evidence, variant)
    both = [name for name in best if pursued.get(name) is not None]
    groups = names_alike(evidence.params.at_main(both))
    return SeedNoise.of([[best[name] + pursued[name] for name in group] for group in groups]) if groups else NO_SEEDS


def changes_of(evidence: Evidence, variant: Variant) -> dict[str, float | None]:
    """Of each SAE, the change of FVU_nonlinear by pursuit."""
    changes = elements(of_experiment("pursuit", "pursuit_nonlinear_change")(evidence, variant)["change"])
    return {item.key["sae"]: item.quantity.estimate["value"] for item in changes if isinstance(item.quantity, Fixed)}


def changes_by_dimension(evidence: Evidence) -> dict[str, float | None]:
    """As `changes_of`, each the mean over dimensions."""
    formulas = {item.key["sae"]: item.quantity.parts[0] for item in pursuit_takes_away(evidence, False)["change"]}
    return {sae: float(formula.statistic(each_once(len(formula.view.used)))[0]) for sae, formula in formulas.items()}


def explained(evidence: Evidence, variant: Variant, name: str, seed: bool = False) -> list[Keyed]:
    """R² of NonlinearError from each prior component."""
    return elements(of_experiment("components", name, seed)(evidence, replace(variant, fvu=POOLED))["r2"])


def lead_of(evidence: Evidence, parts: Sequence[Keyed], of_saes: Component) -> Components:
    """The best of `parts` plus the change by pursuit on the SAE whose error the components explain.

    Raises:
        Missing: pursuit was not run on it.
    """
    changes = elements(of_saes)
    sae = evidence.results.experiments["components"]["sae"].rsplit("/", 1)[1]
    change = next((item.quantity for item in changes if item.key.get("sae") == sae), None)
    if change is None:
        raise Missing(f"gradient pursuit has no number of {sae}, whose error the components explain")
    return {
        "lead": Lead([item.quantity for item in parts], change),
        "components": list(parts),
        "pursuit": change,
    }


def elements(component: Component) -> list[Keyed]:
    return component if isinstance(component, list) else [Keyed({}, component)]


@dataclass(frozen=True)
class Lead:
    """The largest of `parts` plus `change`, which is negative where something is taken away.

    Attributes:
        parts, change: with intervals of any level, brought to one level by `ends_of`.
        seeds: the seed's noise of the lead, which parts and change do not hold then, or why it is not known; None: as
            far as parts and change hold it.
    """

    parts: Sequence[Quantity]
    change: Quantity
    seeds: SeedNoise | str | None = None

    def at(self, bootstrap: Bootstrap, components: int) -> Estimate:
        quantities, numbers = (*self.parts, self.change), len(self.parts) + 1
        results = [quantity.at(bootstrap, numbers) for quantity in quantities]
        if lacking := next((one for one in results if one["value"] is None), None):
            return null(lacking["reason"])
        level = joint_level(bootstrap["level"], components)
        wanted = joint_level(level, numbers)
        *parts, change = (ends_of(*both, wanted) for both in zip(quantities, results, strict=True))
        value, low, high = (max(part[end] for part in parts) + change[end] for end in range(3))
        held = dict.fromkeys(name for one in results for name in one.get("resampled", "context").split(", "))
        absent = {name: why for one in results for name, why in one.get("absent", {}).items()}
        facts = {"level": level, "resampled": ", ".join(name for name in held if name not in absent)}
        result = {"value": value, "low": low, "high": high, **facts}
        if self.seeds is None:
            return result | ({"absent": absent} if absent else {})
        contexts = of_interval("context", value, (low, high), min(one["contexts"] for one in results), level)
        return result | self.with_seeds(value, contexts, level, absent)

    def with_seeds(self, value: float, contexts: Term, level: float, absent: Mapping[str, str]) -> Estimate:
        """What the seed's own term changes of the estimate."""
        if isinstance(self.seeds, str):
            return {"absent": {**absent, "seed": self.seeds}}
        others = {name: why for name, why in absent.items() if name != "seed"}
        noise = given(self.seeds, "the noise of the seed")
        term = moved_term(np.array([value]), own_moves(1, noise), lambda values: values[0], noise.freedom)
        if isinstance(term, str):
            return {"absent": {**others, "seed": term}}
        return combined(value, [contexts, term], level, others)


def ends_of(quantity: Quantity, estimate: Estimate, level: float) -> tuple[float, float, float]:
    """Value and interval at another level, of a quantity and what it is at two levels.

    Where its terms are not known, each end's distance from the value grows in the ratio of normal quantiles.
    """
    value = estimate["value"]
    if isinstance(quantity, WithSeed):
        return value, *quantity.ends(level)
    known = estimate.get("joint", estimate)
    known = estimate if known["low"] is None else known
    wider = float(norm.ppf((1 + level) / 2) / norm.ppf((1 + known["level"]) / 2))
    return value, value - wider * (value - known["low"]), value + wider * (known["high"] - value)
