"""Estimands that an experiment has made itself: they stand in its results file under `estimands`."""

from collections.abc import Callable
from typing import Any

from darkmatter.experiments.registry import records
from darkmatter.ledger.estimands.by_dimension import DERIVED, STATED
from darkmatter.ledger.estimands.evidence import MET, PER_DIMENSION, PRIMARY, Evidence, Missing, Variant
from darkmatter.ledger.estimands.quantities import Component, Components, Fixed, Keyed, Null
from darkmatter.ledger.estimands.stage_seeds import with_seed
from darkmatter.storage.artifacts import ArtifactError

KEYS = ("sae", "layer", "pair", "decile", "regressor")  # what an element of a list is of


def of_experiment(stage: str, name: str, seed: bool = False) -> Callable[[Evidence, Variant], Components]:
    """The estimand `name` of a stage; variants besides the primary one only where the stage has them.

    Args:
        seed: whether its intervals hold the noise of the training seed, where the stage has measured it.
    """

    def components(evidence: Evidence, variant: Variant) -> Components:
        if stage not in evidence.results.experiments:
            raise Missing(f"no results of {stage}")
        content = evidence.results.experiments[stage]
        if variant.fvu == PER_DIMENSION and name in DERIVED:
            return DERIVED[name](evidence, seed)
        estimands = content.get("estimands", {}) if variant == PRIMARY else variant_of(content, variant)
        if name not in estimands:
            raise Missing(f"the results of {stage} have no estimand {name} ({variant})")
        level = evidence.params.decomposition.bootstrap.level
        made = {key: component(value, level, f"{stage}, {name}, {key}") for key, value in estimands[name].items()}
        return made if records()[stage].no_sae else {key: with_seed(one, seed) for key, one in made.items()}

    return components


def variant_of(content: dict[str, Any], variant: Variant) -> dict[str, Any]:
    """`estimands_by_variant`, nested by split and convention or with keys SPLIT/CONVENTION."""
    if variant.fvu == PER_DIMENSION:
        return stated(content)
    variants = content.get("estimands_by_variant", {})
    if str(variant) in variants or variant.rows != MET:
        return variants.get(str(variant), {})
    return variants.get(variant.split, {}).get(variant.convention, {})


def stated(content: dict[str, Any]) -> dict[str, Any]:
    """Estimands that average over dimensions, of those that stand in these results."""
    return {name: read(content) for name, read in STATED.items() if name in content.get("estimands", {})}


def component(content: Any, level: float, where: str) -> Component:
    """A component as the results file has it, checked.

    Args:
        level: of its interval where it does not say another.
    """
    match content:
        case list():
            return [Keyed(key_of(item, where), component(item, level, where)) for item in content]
        case {"value": None}:
            return Null(content.get("reason") or "no reason given")
        case {"value": int() | float()}:
            result = {key: value for key, value in content.items() if key not in KEYS}
            return Fixed(result, content.get("level") or level)
    raise ArtifactError(f"{where} is neither an estimate nor a list of estimates. Run its stage again.")


def key_of(item: Any, where: str) -> dict[str, Any]:
    key = {name: item[name] for name in KEYS if isinstance(item, dict) and name in item}
    if len(key) != 1:
        raise ArtifactError(f"{where}: an element of the list has not one of the keys {', '.join(KEYS)}")
    return key
