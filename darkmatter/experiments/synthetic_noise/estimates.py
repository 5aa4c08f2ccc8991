"""Fig. 15, Table 1 and B.2's statements with intervals, from the sums of the noise grid: no model and no torch.

Each seed draws noise for contexts of its own, so the spread over seeds holds both. How the SAE came out is a further
term: the scatter of the grid's SAEs about their trend over widths. Of the further SAEs there are two ablated shares and
one split; their scatter stands for that under every convention.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from darkmatter.experiments.synthetic_noise.cells import (
    CORRELATIONS,
    VARIANTS,
    Sums,
    correlations,
    dense_and_recovered,
    dense_found,
    excess_over_introduced,
    flatness,
    fvu_cells,
    introduced_cells,
    least_over_introduced,
    lines,
    own_and_planted,
    planted,
    r2_of_line,
    r2_through_origin,
)
from darkmatter.experiments.synthetic_noise.trend_scatter import over_draws, slope_on_width, trend_term
from darkmatter.params.conventions import PRIMARY
from darkmatter.statistics.estimate import Estimate
from darkmatter.statistics.joint_levels import at_both
from darkmatter.statistics.seed_noise import of_one
from darkmatter.statistics.variance_model import Term

# Convention → (variant, whose variance of x_n, what measures the noise). The first is primary. The published code
# scores the rows it fits, subtracts one mean for all dimensions, and takes standard deviations for variances.
CONVENTIONS = {
    ("token", "paper"): ("token", "spread", "variance"),
    ("context", "paper"): ("context", "spread", "variance"),
    ("token", "authors"): ("in_sample", "spread_scalar_mean", "deviation"),
    ("context", "authors"): ("in_sample", "spread_scalar_mean", "deviation"),
}
SENSITIVITY = {
    "noise as deviations": ("token", "spread", "deviation"),
    "noise as shares of variance": ("token", "spread", "share"),
}
# How many components are judged together, where not all are: of another model two leads, of B.2's statements one.
JUDGED = {"x_lead": 2, "sae_lead": 2, "ratio": 1, "found": 1, "recovered": 1}
WHY_NULL = "the estimate does not vary over the grid, or ablation does not change FVU"
BOUNDS = dict.fromkeys(CORRELATIONS, (-1.0, 1.0)) | {"x_lead": (-2.0, 2.0), "sae_lead": (-2.0, 2.0)}
BOUNDS |= {"introduced": (-np.inf, 1.0), "dense": (-np.inf, 1.0)}

Convention = tuple[str, str, str]
Values = dict[str, dict[str, float | None]]  # estimand → component → its value


@dataclass(frozen=True)
class SaeDraws:
    """One SAE with the sums of each seed.

    Attributes:
        facts: `sae` and `d_sae`.
    """

    facts: dict[str, Any]
    by_seed: Sequence[Sums]

    @property
    def width(self) -> float:
        """log₂ of latents per dimension."""
        return float(np.log2(self.facts["d_sae"] / float(self.by_seed[0]["d_model"])))


def sigmas_of(sums: Sums, deviations: Sequence[float]) -> np.ndarray:
    return float(sums["unit"]) * np.asarray(deviations, dtype=float)


def components(sums: Sums, convention: Convention, deviations: Sequence[float]) -> Values:
    """Every component of every estimand of one SAE and one draw."""
    variant, spread, measure = convention
    sigmas = sigmas_of(sums, deviations)
    cells, noise = fvu_cells(sums, variant, spread, sigmas), planted(sums, variant, measure, sigmas)
    share = planted(sums, variant, "share", sigmas, spread)
    introduced, recovered = introduced_cells(sums, variant, spread, sigmas), sums["dense_recovered"]
    return {
        "synthetic_correlations": correlations(*cells, noise),
        "synthetic_lines": lines(*cells, noise, r2_through_origin),
        "synthetic_line_fits": lines(*cells, noise, r2_of_line),
        "nonlinear_over_introduced": own_and_planted(*cells, share),
        "nonlinear_above_introduced": excess_over_introduced(cells[1], introduced),
        "least_over_introduced": least_over_introduced(cells[1], introduced),
        "dense_over_planted": dense_found(*cells, share),
        "dense_and_recovered": dense_and_recovered(*cells, share, recovered[VARIANTS.index(variant)]),
    }


def ends(sums: Sums) -> Sums:
    """The sums at the least and the most ablation: what is there of the further SAEs."""
    result = {name: sums[name][:, :, [0, -1]] for name in ("error", "left")}
    return {**sums, **result, "introduced": sums["introduced"][:, [0, -1]]}


def all_estimands(
    saes: Sequence[SaeDraws], deviations: Sequence[float], level: float, groups: Sequence[Sequence[str]] = ()
) -> dict[str, Any]:
    """`estimands` under the primary convention, `estimands_by_variant` (split → convention), and `sensitivity`.

    Args:
        saes: the first is the one whose grid is whole.
        groups: names of those that differ in their training seed alone.
    """
    scatter = scatter_of(saes, deviations)
    under = lambda convention: convention_estimands(saes[0], convention, deviations, level, scatter)  # noqa: E731
    variants: dict[str, dict[str, Any]] = {}
    for (split, name), convention in CONVENTIONS.items():
        variants.setdefault(split, {})[name] = under(convention)
    sensitivity = {name: under(convention) for name, convention in SENSITIVITY.items()}
    by_width = {"synthetic_flatness": {"flatness": of_each(flatness_by_sae(saes, deviations, level), groups)}}
    variants[PRIMARY[0]][PRIMARY[1]] |= by_width
    primary = variants[PRIMARY[0]][PRIMARY[1]]
    return {"estimands": primary, "estimands_by_variant": variants, "sensitivity": sensitivity}


def scatter_of(saes: Sequence[SaeDraws], deviations: Sequence[float]) -> Callable[[str, str], Term | str]:
    """(estimand, component) → the term of how the SAE came out, from all SAEs measured alike."""
    each = [[components(ends(sums), CONVENTIONS[PRIMARY], deviations) for sums in sae.by_seed] for sae in saes]
    widths = [sae.width for sae in saes]

    def scatter(estimand: str, component: str) -> Term | str:
        return trend_term(widths, [[result[estimand][component] for result in draws] for draws in each])

    return scatter


def convention_estimands(
    sae: SaeDraws,
    convention: Convention,
    deviations: Sequence[float],
    level: float,
    scatter: Callable[[str, str], Term | str],
) -> dict[str, dict[str, Estimate]]:
    """The components of the claims under one convention."""
    draws = [components(sums, convention, deviations) for sums in sae.by_seed]
    facts = facts_of(sae.by_seed, convention[0])

    def estimate(name: str, component: str) -> Estimate:
        values, term = [draw[name][component] for draw in draws], scatter(name, component)
        bounds = BOUNDS.get(component, (-np.inf, np.inf))
        judged = len(CORRELATIONS) if name == "synthetic_correlations" else len(draws[0][name])
        return at_both_levels(
            lambda at: over_draws(values, term, at, facts, bounds, WHY_NULL), level, JUDGED.get(component, judged)
        )

    return {name: {component: estimate(name, component) for component in own} for name, own in draws[0].items()}


def at_both_levels(make: Callable[[float], Estimate], level: float, components: int) -> Estimate:
    """As `joint_levels.at_both`, of an interval without resamples."""
    return at_both(lambda own: make(own["level"]), {"level": level, "resamples": 0}, components)


def flatness_by_sae(saes: Sequence[SaeDraws], deviations: Sequence[float], level: float) -> list[dict[str, Any]]:
    """Change of FVU_nonlinear over change of FVU for each SAE, over all noise settings; intervals over draws."""
    cells_of = lambda sums: fvu_cells(sums, *CONVENTIONS[PRIMARY][:2], sigmas_of(sums, deviations))  # noqa: E731

    def estimate(sae: SaeDraws) -> Estimate:
        values = [flatness(*cells_of(sums)) for sums in sae.by_seed]
        facts = facts_of(sae.by_seed, CONVENTIONS[PRIMARY][0])
        make = lambda at: over_draws(values, "each SAE by itself", at, facts, reason=WHY_NULL)  # noqa: E731
        return at_both_levels(make, level, len(saes))

    return [{"sae": sae.facts["sae"], **estimate(sae)} for sae in sorted(saes, key=lambda sae: sae.width)]


def of_each(rows: Sequence[dict[str, Any]], groups: Sequence[Sequence[str]]) -> list[dict[str, Any]]:
    """Estimates of one SAE each, with what the training seed does to them, where SAEs differ in it alone."""
    values = {row["sae"]: row["value"] for row in rows}
    of_groups = [[values[name] for name in group] for group in groups]
    return [row | of_one(row["value"], of_groups) for row in rows]


def widths(saes: Sequence[SaeDraws], deviations: Sequence[float], level: float) -> dict[str, Any]:
    """`by_width`, each SAE's flatness and its latents per dimension; `flatness_slope`, per doubling of the width."""
    rows = flatness_by_sae(saes, deviations, level)
    facts = {sae.facts["sae"]: sae.facts | {"latents_per_dimension": 2**sae.width} for sae in saes}
    by_width = [facts[row["sae"]] | {"flatness": {k: v for k, v in row.items() if k != "sae"}} for row in rows]
    ordered = sorted(saes, key=lambda sae: sae.width)
    values = [row["by_seed"] for row in rows]
    slope = slope_on_width([sae.width for sae in ordered], values, level)
    return {"by_width": by_width, "flatness_slope": slope}


def facts_of(by_seed: Sequence[Sums], variant: str) -> dict[str, int]:
    """Rows scored, and the smallest rank of any regression."""
    number = VARIANTS.index(variant)
    rows, rank = sum(sums["rows"][number] for sums in by_seed), min(sums["rank"][number].min() for sums in by_seed)
    return {"rows": int(rows), "rank": int(rank)}


def cell_estimates(
    sae: SaeDraws, deviations: Sequence[float], shares: Sequence[float], level: float
) -> dict[str, list[dict[str, Any]]]:
    """Every cell, and the flatness of every noise setting, under the primary convention; intervals over draws."""
    variant, spread, _ = CONVENTIONS[PRIMARY]
    by_seed = sae.by_seed
    each = [fvu_cells(sums, variant, spread, sigmas_of(sums, deviations)) for sums in by_seed]
    known = [introduced_cells(sums, variant, spread, sigmas_of(sums, deviations)) for sums in by_seed]
    r2 = [sums["vector_r2"][VARIANTS.index(variant)] for sums in by_seed]
    facts = facts_of(by_seed, variant)

    def estimate(values: list[float | None], high: float = np.inf, reason: str = "the error has no variance"):
        result = over_draws(values, "this SAE alone", level, facts, (-np.inf, high), reason)
        return {
            key: result[key] for key in ("value", "low", "high", "rows", "rank", "seeds", "reason") if key in result
        }

    grid = [(i, j) for i in range(len(deviations)) for j in range(len(deviations))]
    at = lambda i, j: {"noise_x": deviations[i], "noise_sae": deviations[j]}  # noqa: E731
    cells = [
        at(i, j)
        | {
            "ablated": share,
            "fvu": estimate([fvu[i, j, f] for fvu, _ in each]),
            "fvu_nonlinear": estimate([left[i, j, f] for _, left in each]),
            "dense": estimate([fvu[i, j, f] - left[i, j, f] for fvu, left in each]),
            "introduced": float(np.mean([part[i, j, f] for part in known])),
            "vector_r2": estimate([values[i, j, f] for values in r2], 1.0),
        }
        for i, j in grid
        for f, share in enumerate(shares)
    ]
    slopes = [
        at(i, j)
        | {"flatness": estimate([flatness(fvu[i, j], left[i, j]) for fvu, left in each], reason="FVU does not change")}
        for i, j in grid
    ]
    return {"cells": cells, "flatness_by_noise": slopes}
