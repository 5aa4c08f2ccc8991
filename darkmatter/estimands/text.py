"""Estimands that need no model: lemmas, counts, and text against text."""

from collections.abc import Callable
from typing import Any

from darkmatter.claims import Claim
from darkmatter.estimands.evidence import Evidence, Missing, Variant
from darkmatter.estimands.quantities import Components, Fixed, Null, Quantity

CONTEXTS, CONTEXT_LENGTH, FIRST_POSITION = 300, 1024, 200  # section 4 of the paper


def passages_agree(claim: Claim) -> bool:
    """Whether `here` and `there`, as transcribed in the claim, are the same."""
    return claim.paper_value["here"] == claim.paper_value["there"]


def row_count(evidence: Evidence, variant: Variant) -> Components:
    return {"rows": exact(CONTEXTS * (CONTEXT_LENGTH - 1 - FIRST_POSITION))}


def sae_count(evidence: Evidence, variant: Variant) -> Components:
    raise Missing("no manifests of the SAEs of gemma-2-2b, gemma-2-9b and llama-3.1-8b are in this repository")


def exact(value: float) -> Quantity:
    return Fixed({"value": value, "low": value, "high": value})


def of_lemma(identity: str, read: Callable[[dict[str, Any]], dict[str, float]]) -> Callable[..., Components]:
    """Numbers of one lemma, as `read` finds them in its row of lemmas.json."""

    def components(evidence: Evidence, variant: Variant) -> Components:
        if "lemmas" not in evidence.results.experiments:
            raise Missing("no results of lemmas")
        rows = {row["id"]: row for row in evidence.results.experiments["lemmas"]["lemmas"]}
        if identity not in rows:
            raise Missing(f"the results of lemmas have no lemma {identity}")
        row = rows[identity]
        reason = f"Monte Carlo and algebra of lemma {identity} disagree, so neither is believed"
        return {name: exact(value) if row["agrees"] else Null(reason) for name, value in read(row).items()}

    return components


def derived(name: str) -> Callable[[dict[str, Any]], dict[str, float]]:
    return lambda row: {name: row["derived"]["value"]}


def printed_formula(row: dict[str, Any]) -> dict[str, float]:
    return {"rho": row["printed_formula"]["value"]}


def excess(row: dict[str, Any]) -> dict[str, float]:
    return {"with_intercept": row["derived"]["value"], "without_intercept": row["parts"][0]["derived"]["value"]}
