"""What gradient pursuit changes, against the SAE's own encoder on the same rows: paired intervals. No torch.

    decrease           1 − FVU_pursuit / FVU_sae
    absolute_decrease  FVU_sae − FVU_pursuit
    change             FVU_nonlinear,pursuit / FVU_nonlinear,sae − 1
    absolute_change    FVU_nonlinear,pursuit − FVU_nonlinear,sae
    share              (FVU_nonlinear,sae − FVU_nonlinear,pursuit) / (FVU_sae − FVU_pursuit)

Each resample of contexts gives both sides at once, so what the two encoders share cancels.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np

from darkmatter.params.conventions import CONVENTIONS, pooled_rows
from darkmatter.regression.splits import SPLITS
from darkmatter.statistics import metrics
from darkmatter.statistics.bootstrap import Weights
from darkmatter.statistics.sae_estimates import (
    Estimate,
    HookpointSums,
    Sums,
)
from darkmatter.statistics.seed_noise import of_one

OWN = "own"
CLAIMED = "exact_l0"  # of the two variants, that of the claims
VARIANTS = {
    "exact_l0": "The paper's text: gradient pursuit with an L0 exactly equal to that of Sae(x), token by token. The "
    "claims are judged on it.",
    "published": "The published code: as many steps as Sae(x) has active latents; a latent chosen twice or clamped at "
    "zero lowers the L0, so that it is an upper bound.",
}


def compare(hookpoint: HookpointSums, sae: Sums, pursuit: Sums, split: str, convention: str) -> dict[str, Estimate]:
    """The five numbers of one SAE under one split and convention; rows as in `sae_estimates.scalar_estimates`.

    Args:
        sae, pursuit: sums that `passes.decompose` left, for the same rows.
    """
    view = hookpoint.views[pooled_rows(split, convention)]
    rank = hookpoint.rank[split]
    square = view.of_sums(hookpoint.square)
    cross = hookpoint.cross_of(view)
    error, nonlinear = (
        [view.of_sums(sums[key]) for sums in (sae, pursuit)]
        for key in ("sum/error", f"pooled/nonlinear/{split}/{convention}")
    )

    def of_variance(weights: Weights, left: np.ndarray) -> np.ndarray:
        return metrics.ratio(weights @ left, metrics.pooled_spread(weights, view.rows, square, cross))

    def relative(weights: Weights, sides: list[np.ndarray]) -> np.ndarray:
        return metrics.ratio(weights @ (sides[1] - sides[0]), weights @ sides[0])

    result = {
        "decrease": view.estimate(lambda weights: -relative(weights, error), 0),
        "absolute_decrease": view.estimate(lambda weights: of_variance(weights, error[0] - error[1]), 0),
        "change": view.estimate(lambda weights: relative(weights, nonlinear), rank),
        "absolute_change": view.estimate(lambda weights: of_variance(weights, nonlinear[1] - nonlinear[0]), rank),
        "share": view.estimate(
            lambda weights: metrics.ratio(weights @ (nonlinear[0] - nonlinear[1]), weights @ (error[0] - error[1])),
            rank,
        ),
    }
    fall = result["absolute_decrease"]["low"]
    if fall is None or fall <= 0:
        facts = {key: result["share"][key] for key in ("rows", "contexts", "rank")}
        reason = "pursuit does not lower the FVU beyond its interval, so there is no fall to have a share of"
        result["share"] = {"value": None, "low": None, "high": None, **facts, "reason": reason}
    return result


def compared(hookpoint: HookpointSums, sae: Sums, pursuit: Sums) -> dict[str, dict[str, dict[str, Estimate]]]:
    """split → convention → as `compare`."""
    return {split: {way: compare(hookpoint, sae, pursuit, split, way) for way in CONVENTIONS} for split in SPLITS}


def estimands(
    compared: dict[str, Any], split: str, convention: str, groups: Sequence[Sequence[str]] = ()
) -> dict[str, dict[str, list[Estimate]]]:
    """What the claims of section 6.1 are judged on: one estimate for each SAE.

    Args:
        compared: SAE → split → convention → as `compare`, each with both levels.
        groups: names of SAEs that differ in their training seed alone.
    """

    def each(number: str) -> list[Estimate]:
        found = {sae: result[split][convention][number] for sae, result in compared.items()}
        of_groups = [[found[sae]["value"] for sae in group] for group in groups]
        return [{"sae": sae, **one, **of_one(one["value"], of_groups)} for sae, one in found.items()]

    return {
        name: {number: each(number) for number in numbers}
        for name, numbers in {
            "pursuit_fvu_decrease": ("decrease", "absolute_decrease"),
            "pursuit_nonlinear_change": ("change", "share"),
        }.items()
    }
