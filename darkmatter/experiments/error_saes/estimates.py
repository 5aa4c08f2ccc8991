"""Held-out FVU of the SAEs trained on the two parts, with intervals over contexts and over seeds: no torch.

An interval of one SAE resamples contexts (BCa). One over seeds resamples both: with S seeds, C contexts and f_s the
number of seed s, the mean's variance is

    V = Var_b(mean_s f_s^b) + S/(S − 1) · Var_b(mean of S seeds drawn again),

b over resamples. The first is taken from the drawn contexts. The second has the closed form s²/S; the factor is
there because a bootstrap of S = 3 would give two thirds of it. The interval is Student's, with the degrees of freedom
of the two terms (Satterthwaite): three seeds know little of their own spread, which a percentile of three would hide.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from darkmatter.experiments.error_saes.names import PARTS
from darkmatter.statistics import metrics
from darkmatter.statistics.bootstrap import ContextBootstrap, Statistic, Weights, each_once
from darkmatter.statistics.estimate import Estimate
from darkmatter.statistics.joint_levels import joint, with_ends
from darkmatter.statistics.per_dimension import mean_of_ratios
from darkmatter.statistics.sae_estimates import estimate
from darkmatter.statistics.variance_model import half_width

Sums = Mapping[str, np.ndarray]
MEASURES = ("fvu", "fvu_per_dim")
OF_WHOSE_ERROR = "that of the SAE whose error it is: error SAEs were trained on one such SAE, so its noise is not known"


@dataclass(frozen=True)
class ErrorSaeSums:
    """The sums of one SAE.

    Attributes:
        rows, square, residual: [context], pooled over dimensions.
        cross: [context, context] products of the contexts' sums.
        per_dimension: [2, context], of `per_dimension.unexplained_sums`.
    """

    rows: np.ndarray
    square: np.ndarray
    cross: np.ndarray
    residual: np.ndarray
    per_dimension: np.ndarray

    def fvu(self, weights: Weights) -> np.ndarray:
        """Pooled FVU, [resample]."""
        return metrics.fvu(weights, self.rows, self.square, self.cross, self.residual)

    def fvu_per_dim(self, weights: Weights) -> np.ndarray:
        """1 − mean over dimensions of R², [resample]."""
        return mean_of_ratios(weights, self.per_dimension)


def scored_of(sums: Sums, part: str, seed: int) -> ErrorSaeSums:
    names = (f"{part}/residual/s{seed}", f"{part}/per_dimension/s{seed}")
    cross = metrics.symmetric(sums[f"{part}/cross"])
    return ErrorSaeSums(sums["rows"], sums[f"{part}/square"], cross, *(sums[name] for name in names))


def over_contexts_and_seeds(
    statistics: Sequence[Statistic], bootstrap: ContextBootstrap, rows: np.ndarray, rank: int
) -> Estimate:
    """The mean over seeds of a number, one statistic for each, with an interval over contexts and seeds."""
    seeds, contexts = len(statistics), len(rows)
    facts = {"rows": int(rows.sum()), "contexts": contexts, "seeds": seeds, "rank": rank}
    null = {"value": None, "low": None, "high": None, **facts}
    if seeds < 2:
        return null | {"reason": "an interval over seeds needs two of them; error_saes.seeds has one"}
    values = np.array([statistic(each_once(contexts))[0] for statistic in statistics])
    if not np.isfinite(values).all():
        return null | {"reason": "the target has no variance"}
    resampled = np.mean([statistic(bootstrap.weights) for statistic in statistics], axis=0)
    of_contexts = float(resampled[np.isfinite(resampled)].var(ddof=1))
    of_seeds = float(values.var(ddof=1) / seeds)
    value = float(values.mean())
    deviations = (of_contexts**0.5, of_seeds**0.5)
    half = half_width(deviations, (max(contexts - 1, 1), seeds - 1), bootstrap.level)
    spread = dict(zip(("deviation_contexts", "deviation_seeds"), deviations, strict=True))
    held = {"resampled": "context, seed of the error SAE", "absent": {"seed": OF_WHOSE_ERROR}}
    return {"value": value, "low": value - half, "high": value + half, **facts, **spread, **held}


def results(sums: Sums, seeds: Sequence[int], bootstrap: dict[str, Any]) -> dict[str, Any]:
    """Every SAE, the parts over seeds, their norm ratio and the claim's estimand.

    Args:
        sums: of `stored`.
        bootstrap: `resamples`, `level` and `seed`.
    """
    scored = {(part, seed): scored_of(sums, part, seed) for part in PARTS for seed in seeds}
    fit_rows, rank, condition = sums["linear_map"].tolist()
    rows, rank = sums["rows"], int(rank)
    units = ContextBootstrap(len(rows), **bootstrap)
    saes = []
    for (part, seed), one in scored.items():
        fired, latents = sums[f"{part}/latents/s{seed}"].tolist()
        facts = {"part": part, "seed": seed, "dead_latents": int(latents - fired)}
        facts["l0"] = float(sums[f"{part}/l0/s{seed}"])
        saes.append(facts | {measure: estimate(units, getattr(one, measure), rows, rank) for measure in MEASURES})

    def of_parts(measure: str, units: ContextBootstrap) -> dict[str, Estimate]:
        each = {
            part: over_contexts_and_seeds([getattr(scored[part, seed], measure) for seed in seeds], units, rows, rank)
            for part in PARTS
        }
        return each | {
            "difference": over_contexts_and_seeds([gap(scored, seed, measure) for seed in seeds], units, rows, rank)
        }

    parts = {measure: of_parts(measure, units) for measure in MEASURES}
    together = joint(bootstrap, len(parts["fvu"]))
    wide = of_parts("fvu", ContextBootstrap(len(rows), **together))
    judged = with_ends(parts["fvu"], wide, bootstrap["level"], together["level"])
    square = {part: sums[f"{part}/norm_square"] for part in PARTS}
    ratio = estimate(
        units,
        lambda weights: metrics.ratio(weights @ square["linear"], weights @ square["nonlinear"]) ** 0.5,
        rows,
        rank,
    )
    linear_map = {"fit_rows": int(fit_rows), "rank": rank, "condition_number": condition}
    content = {"saes": saes, "over_seeds": parts, "norm_ratio": ratio, "linear_map": linear_map}
    return content | {"estimands": {"error_sae_fvu": judged}}


def gap(scored: dict[tuple[str, int], ErrorSaeSums], seed: int, measure: str) -> Statistic:
    """Nonlinear minus linear, both SAEs of one seed on the same contexts."""
    linear, nonlinear = (getattr(scored[part, seed], measure) for part in PARTS)
    return lambda weights: nonlinear(weights) - linear(weights)
