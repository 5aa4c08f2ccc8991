"""Held-out FVU of the SAEs trained on the two parts, with intervals over contexts and over seeds: no torch.

An interval of one SAE resamples contexts (BCa). One over seeds resamples both: with S seeds, C contexts and f_s the
number of seed s, the mean's variance is

    V = Var_b(mean_s f_s^b) + S/(S − 1) · Var_b(mean of S seeds drawn again),

b over resamples. The first is taken from the drawn contexts. The second has the closed form s²/S; the factor is
there because a bootstrap of S = 3 would give two thirds of it. The interval is Student's, with the degrees of freedom
of the two terms (Satterthwaite): three seeds know little of their own spread, which a percentile of three would hide.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from scipy.special import stdtrit

from darkmatter import metrics
from darkmatter.artifacts import read_arrays, read_json
from darkmatter.bootstrap import ContextBootstrap, Statistic
from darkmatter.estimates import Estimate, estimate
from darkmatter.joint import joint, stating

PARTS = ("linear", "nonlinear")
SUMS = "sums.npz"  # in the folder of each SAE, see `error_saes.score`
MEASURES = ("fvu", "fvu_per_dim")


@dataclass(frozen=True)
class Scored:
    """The sums of one SAE (`error_saes.score`)."""

    sums: dict[str, np.ndarray]

    @cached_property
    def cross(self) -> np.ndarray:
        return self.sums["total"] @ self.sums["total"].T

    def fvu(self, weights: np.ndarray) -> np.ndarray:
        """Pooled FVU, [resample]."""
        square, residual = self.sums["square"].sum(1), self.sums["residual"].sum(1)
        return metrics.fvu(weights, self.sums["rows"], square, self.cross, residual)

    def fvu_per_dim(self, weights: np.ndarray) -> np.ndarray:
        """1 − mean over dimensions of R², [resample]."""
        return 1 - metrics.r2_mean(weights, *(self.sums[name] for name in ("rows", "total", "square", "residual")))


def over_seeds(statistics: Sequence[Statistic], bootstrap: ContextBootstrap, rows: np.ndarray, rank: int) -> Estimate:
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
    variance = of_contexts + of_seeds
    value = float(values.mean())
    half = 0.0
    if variance > 0:
        freedom = variance**2 / (of_contexts**2 / (contexts - 1) + of_seeds**2 / (seeds - 1))
        half = float(stdtrit(freedom, (1 + bootstrap.level) / 2)) * variance**0.5
    spread = {"deviation_contexts": of_contexts**0.5, "deviation_seeds": of_seeds**0.5}
    return {"value": value, "low": value - half, "high": value + half, **facts, **spread}


def sae_name(part: str, seed: int) -> str:
    return f"{part}-s{seed}"


def results(
    folder: Path, seeds: Sequence[int], rank: int, bootstrap: dict[str, Any]
) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
    """Every SAE, the parts over seeds, their norm ratio and the claim's estimand; and the sums these follow from.

    Args:
        folder: holds `PART-sSEED/` with training.json and sums.npz for every part and seed.
        rank: of b*.
        bootstrap: `resamples`, `level` and `seed`.
    """
    scored = {
        (part, seed): Scored(read_arrays(folder / sae_name(part, seed) / SUMS)) for part in PARTS for seed in seeds
    }
    first = {part: scored[part, seeds[0]] for part in PARTS}
    rows = first["linear"].sums["rows"]
    units = ContextBootstrap(len(rows), **bootstrap)
    saes = []
    for (part, seed), one in scored.items():
        training = read_json(folder / sae_name(part, seed) / "training.json")
        fired, latents = one.sums["latents"].tolist()
        facts = {key: training[key] for key in ("curve", "d_sae", "dropped_outliers", "k", "tokens", "train_fvu")}
        facts |= {"part": part, "seed": seed, "dead_latents": int(latents - fired), "l0": float(one.sums["l0"])}
        saes.append(facts | {measure: estimate(units, getattr(one, measure), rows, rank) for measure in MEASURES})

    def of_parts(measure: str, units: ContextBootstrap) -> dict[str, Estimate]:
        each = {
            part: over_seeds([getattr(scored[part, seed], measure) for seed in seeds], units, rows, rank)
            for part in PARTS
        }
        return each | {"difference": over_seeds([gap(scored, seed, measure) for seed in seeds], units, rows, rank)}

    parts = {measure: of_parts(measure, units) for measure in MEASURES}
    together = joint(bootstrap, len(parts["fvu"]))
    judged = stating(together["level"], of_parts("fvu", ContextBootstrap(len(rows), **together)))
    square = {part: first[part].sums["norm_square"] for part in PARTS}
    ratio = estimate(
        units,
        lambda weights: metrics.ratio(weights @ square["linear"], weights @ square["nonlinear"]) ** 0.5,
        rows,
        rank,
    )
    content = {"saes": saes, "over_seeds": parts, "norm_ratio": ratio, "estimands": {"error_sae_fvu": judged}}
    sums = {"rows": rows}
    for part in PARTS:
        sums |= {f"{part}/cross": first[part].cross, f"{part}/square": first[part].sums["square"].sum(1)}
        sums[f"{part}/norm_square"] = square[part]
        sums |= {f"{part}/residual/s{seed}": scored[part, seed].sums["residual"].sum(1) for seed in seeds}
    return content, sums


def gap(scored: dict[tuple[str, int], Scored], seed: int, measure: str) -> Statistic:
    """Nonlinear minus linear, both SAEs of one seed on the same contexts."""
    linear, nonlinear = (getattr(scored[part, seed], measure) for part in PARTS)
    return lambda weights: nonlinear(weights) - linear(weights)
