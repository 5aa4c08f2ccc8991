"""What claims are judged on under each null: SAEs that learned nothing, in place of the profile's.

A claim that agrees under a null says little about features. So that like is held against like, the trained SAEs of the
same sizes are judged alone, too: with as few SAEs as a null has, some rules decide nothing.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from darkmatter.experiments.nulls.estimates import NullSums
from darkmatter.experiments.nulls.names import TRAINED
from darkmatter.experiments.nulls.results import null_sums
from darkmatter.ledger.estimands.evidence import Evidence
from darkmatter.results.load import Results
from darkmatter.storage.artifacts import read_arrays

DECIDED_BY = "decomposition"  # the experiment of the claims that nulls can be judged on


@dataclass(frozen=True)
class NullEvidence(Evidence):
    """The evidence of a profile that has these SAEs alone.

    Attributes:
        arrays: the sums of its only hookpoint.
    """

    arrays: Mapping[str, np.ndarray] = field(default_factory=dict, compare=False)

    def sums_of(self, hookpoint: str) -> Mapping[str, np.ndarray]:
        return self.arrays


def null_evidence(evidence: Evidence) -> dict[str, Evidence]:
    """Null → its evidence, the trained SAEs first; nothing where the profile has no nulls."""
    content = evidence.results.experiments.get("nulls")
    if evidence.null_sums is None or not content or not content["nulls"]:
        return {}
    path = evidence.null_sums

    def made() -> dict[str, Evidence]:
        hookpoint = content["hookpoint"]
        fits = evidence.results.decomposition[hookpoint]["regressions"]
        trained = NullSums(evidence.sums_of(hookpoint), {name: int(fit["rank"]) for name, fit in fits.items()})
        sums = {TRAINED: trained, **null_sums(read_arrays(path))}
        return {row["null"]: alone(evidence, hookpoint, row["saes"], sums[row["null"]]) for row in content["nulls"]}

    return evidence.once("nulls", made)


def alone(evidence: Evidence, hookpoint: str, saes: list[dict[str, Any]], sums: NullSums) -> NullEvidence:
    """The evidence of these SAEs, in the place of every SAE of the profile."""
    groups = list(dict.fromkeys(sae["group"] for sae in saes))
    chosen = {"grid_groups": groups, "widths_group": groups[0], "layers_groups": [], "appendix_hookpoints": []}
    figures = evidence.params.figures.model_copy(update=chosen)
    fits = {name: {"rank": rank} for name, rank in sums.rank.items()}
    run = evidence.results.decomposition[hookpoint] | {"saes": saes, "regressions": fits}
    return NullEvidence(
        evidence.params.model_copy(update={"figures": figures}),
        Results({hookpoint: run}, {}),
        evidence.sums,
        evidence.layers,
        arrays=sums.arrays,
    )
