"""What predictions take of the architectures: no torch.

Each interval is at both levels of its rule, counted as the rule counts its components (`joint_levels`). An element of a
list is a variant of one size, VARIANT-D_SAE.
"""

from collections.abc import Mapping, Sequence
from functools import cache
from typing import Any

from darkmatter.experiments.architectures.estimates import (
    FVU,
    LINEAR,
    NONLINEAR,
    VECTOR_R2,
    Combine,
    lead,
    ratio,
    spread_ratio,
)
from darkmatter.experiments.architectures.matched import Matched
from darkmatter.experiments.architectures.names import PURSUIT, SKIP, STANDARD, TOPK, budget
from darkmatter.experiments.architectures.params import Architectures
from darkmatter.params.schema import Params
from darkmatter.statistics.joint_levels import at_both
from darkmatter.statistics.sae_estimates import Estimate, Sums

Wanted = tuple[str, int, Sequence[tuple[str, str]], Combine]  # (key, d_sae, parts, combine)
SKIPS = (8, 64)  # ranks that something was predicted of
NAMES = (
    "architecture_fvu_nonlinear_ratio",
    "architecture_spread",
    "standard_vector_r2_lead",
    "pursuit_vector_r2_lead",
    *(f"skip_{rank}_left" for rank in SKIPS),
)


def against_topk(own: Architectures, variants: Sequence[str], name: str, combine: Combine) -> list[Wanted]:
    """A number of each of these variants, at each size that has it, with that of TopK."""
    return [
        (f"{variant}-{size.d_sae}", size.d_sae, [(variant, name), (TOPK, name)], combine)
        for size in own.sizes
        for variant in variants
        if budget(size, variant) is not None
    ]


def wanted(own: Architectures) -> dict[str, dict[str, list[Wanted]]]:
    """Estimand → component → what is in its list; those alone whose variants are trained."""
    others = [name for name in own.classes if name != TOPK]
    spreads: list[Wanted] = []
    for size in own.sizes:
        there = [name for name in own.classes if budget(size, name) is not None]
        spreads.append(
            (f"all-{size.d_sae}", size.d_sae, [(v, n) for n in (NONLINEAR, FVU) for v in there], spread_ratio)
        )
    result = {
        "architecture_fvu_nonlinear_ratio": {"ratio": against_topk(own, others, NONLINEAR, ratio)},
        "architecture_spread": {"ratio": spreads if others else []},
    }
    for variant, short in ((STANDARD, "standard"), (PURSUIT, "pursuit")):
        leads = against_topk(own, [variant], VECTOR_R2, lead) if variant in own.classes else []
        result[f"{short}_vector_r2_lead"] = {"lead": leads}
    for rank in SKIPS:
        there = [f"{SKIP}_{rank}"] if rank in own.skip_ranks else []
        parts = {"linear": LINEAR, "nonlinear": NONLINEAR}
        result[f"skip_{rank}_left"] = {part: against_topk(own, there, name, ratio) for part, name in parts.items()}
    return {name: components for name, components in result.items() if all(components.values())}


def estimands(arrays: Sums, params: Params, split: str) -> dict[str, Any]:
    """Estimand → component → estimates.

    Args:
        arrays: content of STORED.
        split: whose held-out rows are scored.
    """
    own, level = params.architectures, params.decomposition.bootstrap.model_dump()
    if not own.classes:
        return {}

    @cache
    def matched(level: float, resamples: int) -> Matched:
        bootstrap = params.decomposition.bootstrap.model_dump() | {"level": level, "resamples": resamples}
        return Matched(arrays, own, split, bootstrap)

    def made(components: Mapping[str, list[Wanted]], bootstrap: Mapping[str, Any]) -> dict[str, list[Estimate]]:
        sums = matched(bootstrap["level"], bootstrap["resamples"])
        return {
            name: [sums.estimate(d_sae, parts, combine) for _, d_sae, parts, combine in listed]
            for name, listed in components.items()
        }

    result = {}
    for name, components in wanted(own).items():
        both = at_both(lambda bootstrap, c=components: made(c, bootstrap), level, sum(map(len, components.values())))
        result[name] = {
            part: [{"sae": one[0]} | estimate for one, estimate in zip(components[part], estimates, strict=True)]
            for part, estimates in both.items()
        }
    return result
