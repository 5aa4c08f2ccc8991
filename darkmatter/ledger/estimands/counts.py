"""Estimands that count what section 4 and section 5.1 describe: rows of the data set, SAEs of the figures."""

from collections.abc import Mapping
from typing import Any

from darkmatter.ledger.estimands.evidence import Evidence, Missing, Variant
from darkmatter.ledger.estimands.quantities import Components, exact

CONTEXTS, CONTEXT_LENGTH, FIRST_POSITION = 300, 1024, 200  # section 4 of the paper

# Roles of an SAE in the lists of conf/manifests that make it one of those of Fig. 6, as section 5.1 has them: main
# layers, L0 nearest to 60 at every layer and width, all of Llama Scope.
OF_SENTENCE = frozenset({"fig2", "near60", "llama"})
OF_APPENDIX = frozenset({"figA"})
OTHER_TARGET = frozenset({"near50"})


def row_count(evidence: Evidence, variant: Variant) -> Components:
    return {"rows": exact(CONTEXTS * (CONTEXT_LENGTH - 1 - FIRST_POSITION))}


def sae_count(evidence: Evidence, variant: Variant) -> Components:
    """How many SAEs the lists have, by each reading of the paper's number.

    Raises:
        Missing: a list is not here.
    """
    if evidence.manifests is None:
        raise Missing("the lists of published SAEs in conf/manifests are not here: `git checkout conf/manifests`")
    return {name: exact(count) for name, count in readings(evidence.manifests).items()}


def readings(manifests: Mapping[str, Mapping[str, Any]]) -> dict[str, int]:
    """How many SAEs the sentence of section 5.1 names, by four readings of it.

    Args:
        manifests: model → its list, in which every SAE stands once with its roles.
    """
    roles = [frozenset(sae["roles"]) for manifest in manifests.values() for sae in manifest["saes"]]

    def having(wanted: frozenset[str]) -> int:
        return sum(bool(own & wanted) for own in roles)

    return {
        "saes": having(OF_SENTENCE),
        "listed_twice": sum(len(own & OF_SENTENCE) for own in roles),
        "with_appendix_layers": having(OF_SENTENCE | OF_APPENDIX),
        "with_both_targets": having(OF_SENTENCE | OF_APPENDIX | OTHER_TARGET),
    }
