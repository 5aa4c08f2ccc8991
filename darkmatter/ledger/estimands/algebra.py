"""Estimands that need no model and no sample: numbers of the lemmas."""

from collections.abc import Callable
from typing import Any

from darkmatter.ledger.estimands.evidence import Evidence, Missing, Variant
from darkmatter.ledger.estimands.quantities import Components, Null, exact


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
