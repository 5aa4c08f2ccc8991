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
from darkmatter.experiments.error_saes.params import ErrorSaes
from darkmatter.params.schema import Params
from darkmatter.statistics import metrics
from darkmatter.statistics.bootstrap import ContextBootstrap, Statistic, Weights
from darkmatter.statistics.joint_levels import joint, with_ends
from darkmatter.statistics.sae_estimates import Estimate, estimate
from darkmatter.statistics.variance_model import half_width
from darkmatter.storage.paths import DATA, RESULTS

STORED = RESULTS / "error_saes_sums.npz"  # pooled over dimensions, see `stored`
STORED_DIMENSIONS = DATA / "sums" / "error_saes.npz"

Sums = Mapping[str, np.ndarray]
MEASURES = ("fvu", "fvu_per_dim")


@dataclass(frozen=True)
class ErrorSaeSums:
    """The sums of one SAE.

    Attributes:
        rows, square, residual: [context], pooled over dimensions.
        cross: [context, context] products of the contexts' sums.
        by_dimension: sums, squares and residuals [context, d_model], where they are at hand.
    """

    rows: np.ndarray
    square: np.ndarray
    cross: np.ndarray
    residual: np.ndarray
    by_dimension: tuple[np.ndarray, np.ndarray, np.ndarray] | None = None

    def fvu(self, weights: Weights) -> np.ndarray:
        """Pooled FVU, [resample]."""
        return metrics.fvu(weights, self.rows, self.square, self.cross, self.residual)

    def fvu_per_dim(self, weights: Weights) -> np.ndarray:
        """1 − mean over dimensions of R², [resample]."""
        return 1 - metrics.r2_mean(weights, self.rows, *self.by_dimension)


def stored(
    scores: Mapping[tuple[str, int], Sums], linear_map: np.ndarray
) -> tuple[dict[str, np.ndarray], dict[str, np.ndarray]]:
    """Content of STORED and of STORED_DIMENSIONS. Targets are those of the part, whatever the seed.

    Args:
        scores: (part, seed) → sums of `error_saes.score`.
        linear_map: rows, rank and condition number of b*.
    """
    first = {part: next(sums for (of, _), sums in scores.items() if of == part) for part in PARTS}
    pooled, by_dimension = {"rows": first["linear"]["rows"], "linear_map": np.asarray(linear_map)}, {}
    for part, sums in first.items():
        pooled |= {f"{part}/cross": sums["total"] @ sums["total"].T, f"{part}/square": sums["square"].sum(1)}
        pooled[f"{part}/norm_square"] = sums["norm_square"]
        by_dimension |= {f"{part}/{name}": sums[name] for name in ("total", "square")}
    for (part, seed), sums in scores.items():
        pooled[f"{part}/residual/s{seed}"] = sums["residual"].sum(1)
        pooled |= {f"{part}/{name}/s{seed}": sums[name] for name in ("latents", "l0")}
        by_dimension[f"{part}/residual/s{seed}"] = sums["residual"]
    return pooled, by_dimension


def scored_of(pooled: Sums, by_dimension: Sums, part: str, seed: int) -> ErrorSaeSums:
    names = (f"{part}/total", f"{part}/square", f"{part}/residual/s{seed}")
    shared = (pooled["rows"], pooled[f"{part}/square"], pooled[f"{part}/cross"])
    return ErrorSaeSums(
        *shared,
        pooled[f"{part}/residual/s{seed}"],
        tuple(by_dimension[name] for name in names) if by_dimension else None,
    )


def over_contexts_and_seeds(
    statistics: Sequence[Statistic], bootstrap: ContextBootstrap, rows: np.ndarray, rank: int
) -> Estimate:
    """The mean over seeds of a number, one statistic for each, with an interval over contexts and seeds."""
    seeds, contexts = len(statistics), len(rows)
    facts = {"rows": int(rows.sum()), "contexts": contexts, "seeds": seeds, "rank": rank}
    null = {"value": None, "low": None, "high": None, **facts}
    if seeds < 2:
        return null | {"reason": "an interval over seeds needs two of them; error_saes.seeds has one"}
    values = np.array([statistic(np.ones((1, contexts)))[0] for statistic in statistics])
    if not np.isfinite(values).all():
        return null | {"reason": "the target has no variance"}
    resampled = np.mean([statistic(bootstrap.weights) for statistic in statistics], axis=0)
    of_contexts = float(resampled[np.isfinite(resampled)].var(ddof=1))
    of_seeds = float(values.var(ddof=1) / seeds)
    value = float(values.mean())
    deviations = (of_contexts**0.5, of_seeds**0.5)
    half = half_width(deviations, (max(contexts - 1, 1), seeds - 1), bootstrap.level)
    spread = dict(zip(("deviation_contexts", "deviation_seeds"), deviations, strict=True))
    return {"value": value, "low": value - half, "high": value + half, **facts, **spread}


def results(pooled: Sums, by_dimension: Sums, seeds: Sequence[int], bootstrap: dict[str, Any]) -> dict[str, Any]:
    """Every SAE, the parts over seeds, their norm ratio and the claim's estimand.

    Args:
        pooled, by_dimension: of `stored`; without the latter (empty) averages over dimensions are left out.
        bootstrap: `resamples`, `level` and `seed`.
    """
    scored = {(part, seed): scored_of(pooled, by_dimension, part, seed) for part in PARTS for seed in seeds}
    measures = MEASURES if by_dimension else MEASURES[:1]
    fit_rows, rank, condition = pooled["linear_map"].tolist()
    rows, rank = pooled["rows"], int(rank)
    units = ContextBootstrap(len(rows), **bootstrap)
    saes = []
    for (part, seed), one in scored.items():
        fired, latents = pooled[f"{part}/latents/s{seed}"].tolist()
        facts = {"part": part, "seed": seed, "dead_latents": int(latents - fired)}
        facts["l0"] = float(pooled[f"{part}/l0/s{seed}"])
        saes.append(facts | {measure: estimate(units, getattr(one, measure), rows, rank) for measure in measures})

    def of_parts(measure: str, units: ContextBootstrap) -> dict[str, Estimate]:
        each = {
            part: over_contexts_and_seeds([getattr(scored[part, seed], measure) for seed in seeds], units, rows, rank)
            for part in PARTS
        }
        return each | {
            "difference": over_contexts_and_seeds([gap(scored, seed, measure) for seed in seeds], units, rows, rank)
        }

    parts = {measure: of_parts(measure, units) for measure in measures}
    together = joint(bootstrap, len(parts["fvu"]))
    wide = of_parts("fvu", ContextBootstrap(len(rows), **together))
    judged = with_ends(parts["fvu"], wide, bootstrap["level"], together["level"])
    square = {part: pooled[f"{part}/norm_square"] for part in PARTS}
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


def results_of(pooled: Sums, by_dimension: Sums, params: Params) -> dict[str, Any]:
    """The results file from STORED and STORED_DIMENSIONS (empty where it is absent), but for how training went."""
    own: ErrorSaes = params.error_saes
    hookpoint = params.figures.main_hookpoint
    spec = params.sae_spec(f"{hookpoint}/{own.sae}").model_dump(include={"name", "architecture", "d_sae", "k"})
    content = results(pooled, by_dimension, own.seeds, params.decomposition.bootstrap.model_dump())
    return content | {"hookpoint": hookpoint, "sae": spec, "train_tokens": own.train_tokens}


def derive(sums: Mapping[str, Sums], committed: dict[str, Any], params: Params) -> dict[str, Any]:
    """The results file again (`Record.derive`), but for how training went.

    Without STORED_DIMENSIONS the FVU that average over dimensions are left out.
    """
    return results_of(sums[STORED.as_posix()], sums.get(STORED_DIMENSIONS.as_posix(), {}), params)
