"""Fig. 15 and Table 1 from the sums of squares of the noise grid: NumPy only, no model and no torch.

Dense = FVU − FVU_nonlinear and Introduced = FVU_nonlinear, both at no ablation (Table 1). The horizontal line of a
noise setting is the mean of its FVU_nonlinear over the ablations. The asymptote of its FVU is the FVU at no ablation:
x' holds no feature that the SAE lacks, so the limit of ever more latents is reached there and needs no extrapolation
(a power law as in Fig. 1 would go on past it).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Float

from darkmatter.conventions import PRIMARY
from darkmatter.joint import joint_level
from darkmatter.seed_intervals import Estimate, over_seeds

Sums = Mapping[str, np.ndarray]
VARIANTS = ("token", "context", "in_sample")  # order of the arrays of `synthetic_noise.noise_sums`
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
CORRELATIONS = ("x_dense", "x_introduced", "sae_dense", "sae_introduced")
LEADS = {"x_lead": 2, "sae_lead": 2}  # judged together, of another model than the paper's
Grid = Float[np.ndarray, "sigma_x sigma_s"]
Cells = Float[np.ndarray, "sigma_x sigma_s share"]


@dataclass(frozen=True)
class Noise:
    """What was planted, [σ_x, σ_s] each, as `variance`, `deviation` or `share` of the variance of x_n."""

    on_x: Grid
    on_sae: Grid


def fvu_cells(sums: Sums, variant: str, spread: str, sigmas: np.ndarray) -> tuple[Cells, Cells]:
    """FVU of the reconstruction and FVU_nonlinear (Eq. 12), pooled, of every cell."""
    number = VARIANTS.index(variant)
    powers = np.stack([np.ones_like(sigmas), -2 * sigmas, sigmas**2])  # (coefficient, sigma_s)
    whole = sums[spread][number][:, None, None]
    fvu, nonlinear = (np.einsum("xfc,cs->xsf", sums[name][number], powers) / whole for name in ("error", "left"))
    return np.maximum(fvu, 0.0), np.maximum(nonlinear, 0.0)  # an exact 0 may come out as −1e-17


def planted(sums: Sums, variant: str, measure: str, sigmas: np.ndarray, d_model: int) -> Noise:
    amount = sigmas if measure == "deviation" else sigmas**2
    on_x, on_sae = np.meshgrid(amount, amount, indexing="ij")
    if measure == "share":
        number = VARIANTS.index(variant)
        per_unit = (d_model * sums["rows"][number] / sums["spread"][number])[:, None]
        on_x, on_sae = on_x * per_unit, on_sae * per_unit
    return Noise(on_x, on_sae)


def pearson(one: np.ndarray, other: np.ndarray) -> float | None:
    """None where one of them does not vary."""
    one, other = one.ravel() - one.mean(), other.ravel() - other.mean()
    scale = np.sqrt((one @ one) * (other @ other))
    return float(one @ other / scale) if scale > 0 else None


def r2_through_origin(x: np.ndarray, y: np.ndarray) -> float | None:
    """1 − Σ (y − bx)² / Σ (y − ȳ)² of y ≈ bx: below 0 where a constant fits better."""
    x, y = x.ravel(), y.ravel()
    spread = np.square(y - y.mean()).sum()
    if not (spread > 0 and x @ x > 0):
        return None
    return float(1 - np.square(y - x * (x @ y) / (x @ x)).sum() / spread)


def correlations(fvu: Cells, nonlinear: Cells, noise: Noise) -> dict[str, float | None]:
    """Table 1 at no ablation, and by how much each noise's own estimate leads."""
    dense, introduced = (fvu - nonlinear)[..., 0], nonlinear[..., 0]
    pairs = ((noise.on_x, dense), (noise.on_x, introduced), (noise.on_sae, dense), (noise.on_sae, introduced))
    found: dict[str, float | None] = {name: pearson(*pair) for name, pair in zip(CORRELATIONS, pairs, strict=True)}
    lead = lambda one, other: None if None in (found[one], found[other]) else found[one] - found[other]  # noqa: E731
    return found | {
        "x_lead": lead("x_dense", "x_introduced"),
        "sae_lead": lead("sae_introduced", "sae_dense"),
    }


def flatness(fvu: np.ndarray, nonlinear: np.ndarray) -> float | None:
    """Change of FVU_nonlinear over change of FVU from no to most ablation, summed over leading axes."""
    change = float((fvu[..., -1] - fvu[..., 0]).sum())
    return float((nonlinear[..., -1] - nonlinear[..., 0]).sum() / change) if change > 0 else None


def lines(fvu: Cells, nonlinear: Cells, noise: Noise) -> dict[str, float | None]:
    """Appendix C.3: is the line of FVU_nonlinear flat, its level Introduced, its distance to the asymptote Dense?"""
    level = nonlinear.mean(-1)
    return {
        "flatness": flatness(fvu, nonlinear),
        "introduced": r2_through_origin(noise.on_sae, level),
        "dense": r2_through_origin(noise.on_x, fvu[..., 0] - level),
    }


def all_estimands(by_seed: Sequence[Sums], sigmas: np.ndarray, d_model: int, level: float) -> dict[str, Any]:
    """`estimands` under the primary convention, `estimands_by_variant` (split → convention), and `sensitivity`."""
    under = lambda convention: convention_estimands(by_seed, convention, sigmas, d_model, level)  # noqa: E731
    variants: dict[str, dict[str, Any]] = {}
    for (split, name), convention in CONVENTIONS.items():
        variants.setdefault(split, {})[name] = under(convention)
    sensitivity = {name: under(convention) for name, convention in SENSITIVITY.items()}
    primary = variants[PRIMARY[0]][PRIMARY[1]]
    return {"estimands": primary, "estimands_by_variant": variants, "sensitivity": sensitivity}


def convention_estimands(
    by_seed: Sequence[Sums], convention: tuple[str, str, str], sigmas: np.ndarray, d_model: int, level: float
) -> dict[str, dict[str, Estimate]]:
    """The components of the claims under one convention, with intervals over the seeds of the noise."""
    variant, spread, measure = convention
    found: dict[str, dict[str, list]] = {"synthetic_correlations": {}, "synthetic_lines": {}}
    for sums in by_seed:
        cells, noise = fvu_cells(sums, variant, spread, sigmas), planted(sums, variant, measure, sigmas, d_model)
        for name, function in (("synthetic_correlations", correlations), ("synthetic_lines", lines)):
            for component, value in function(*cells, noise).items():
                found[name].setdefault(component, []).append(value)
    rows, rank = facts_of(by_seed, variant)
    highest = {"x_lead": 2.0, "sae_lead": 2.0, "flatness": np.inf}
    lowest = dict.fromkeys(CORRELATIONS, -1.0) | {"x_lead": -2.0, "sae_lead": -2.0}
    why = "the estimate does not vary over the grid, or ablation does not change FVU"
    judged = {"synthetic_correlations": len(CORRELATIONS), "synthetic_lines": len(found["synthetic_lines"])}

    def estimate(component: str, values: list[float | None], together: float) -> Estimate:
        bounds = (lowest.get(component, -np.inf), highest.get(component, 1.0))
        return over_seeds(values, together, rows, rank, bounds, why) | {"level": together}

    return {
        name: {
            component: estimate(component, values, joint_level(level, LEADS.get(component, judged[name])))
            for component, values in components.items()
        }
        for name, components in found.items()
    }


def facts_of(by_seed: Sequence[Sums], variant: str) -> tuple[int, int]:
    """Rows scored, and the smallest rank of any regression."""
    number = VARIANTS.index(variant)
    return int(by_seed[0]["rows"][number]), int(min(sums["rank"][number].min() for sums in by_seed))


def cell_estimates(
    by_seed: Sequence[Sums], deviations: Sequence[float], shares: Sequence[float], unit: float, level: float
) -> dict[str, list[dict[str, Any]]]:
    """Every cell, and the flatness of every noise setting, under the primary convention."""
    variant, spread, _ = CONVENTIONS[PRIMARY]
    sigmas = unit * np.asarray(deviations, dtype=float)
    each = [fvu_cells(sums, variant, spread, sigmas) for sums in by_seed]
    r2 = [sums["vector_r2"][VARIANTS.index(variant)] for sums in by_seed]
    rows, rank = facts_of(by_seed, variant)

    def estimate(values: list[float | None], high: float = np.inf, reason: str = "the error has no variance"):
        found = over_seeds(values, level, rows, rank, (-np.inf, high), reason)
        return {key: value for key, value in found.items() if key != "by_seed"}

    grid = [(i, j) for i in range(len(deviations)) for j in range(len(deviations))]
    at = lambda i, j: {"noise_x": deviations[i], "noise_sae": deviations[j]}  # noqa: E731
    cells = [
        at(i, j)
        | {
            "ablated": share,
            "fvu": estimate([fvu[i, j, f] for fvu, _ in each]),
            "fvu_nonlinear": estimate([left[i, j, f] for _, left in each]),
            "dense": estimate([fvu[i, j, f] - left[i, j, f] for fvu, left in each]),
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
