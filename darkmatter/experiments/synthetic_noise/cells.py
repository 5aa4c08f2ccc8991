"""The noise grid of one draw of contexts and noise: what every cell came to, and the numbers made of all cells.

Dense = FVU − FVU_nonlinear and Introduced = FVU_nonlinear, both at no ablation (Table 1). The horizontal line of a
noise setting is the mean of its FVU_nonlinear over the ablations. The asymptote of its FVU is the FVU at no ablation:
x' holds no feature that the SAE lacks, so the limit of ever more latents is reached there and needs no extrapolation
(a power law as in Fig. 1 would go on past it). NumPy only.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

Sums = Mapping[str, np.ndarray]  # of `compute.noise_grid`, with `unit` and `d_model`
VARIANTS = ("token", "context", "in_sample")  # order of the arrays of `compute.noise_grid`
MARGIN = 0.02  # of a share of variance (margin 2 of claims.yaml)
CORRELATIONS = ("x_dense", "x_introduced", "sae_dense", "sae_introduced")
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


def planted(sums: Sums, variant: str, measure: str, sigmas: np.ndarray, spread: str = "spread") -> Noise:
    amount = sigmas if measure == "deviation" else sigmas**2
    on_x, on_sae = np.meshgrid(amount, amount, indexing="ij")
    if measure == "share":
        number = VARIANTS.index(variant)
        per_unit = (sums["d_model"] * sums["rows"][number] / sums[spread][number])[:, None]
        on_x, on_sae = on_x * per_unit, on_sae * per_unit
    return Noise(on_x, on_sae)


def introduced_cells(sums: Sums, variant: str, spread: str, sigmas: np.ndarray) -> Cells:
    """Introduced of every cell as a share of variance: what the SAE itself introduces, and the noise on Sae(x')."""
    number = VARIANTS.index(variant)
    noise = sigmas**2 * sums["rows"][number] * sums["d_model"]
    amount = sums["introduced"][number][None, :] + noise[:, None]  # (sigma_s, share)
    return amount[None] / sums[spread][number][:, None, None]


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


def r2_of_line(x: np.ndarray, y: np.ndarray) -> float | None:
    """1 − Σ (y − a − bx)² / Σ (y − ȳ)² of the best line, the squared correlation."""
    result = pearson(x, y)
    return None if result is None else result**2


def correlations(fvu: Cells, nonlinear: Cells, noise: Noise) -> dict[str, float | None]:
    """Table 1 at no ablation, and by how much each noise's own estimate leads."""
    dense, introduced = (fvu - nonlinear)[..., 0], nonlinear[..., 0]
    pairs = ((noise.on_x, dense), (noise.on_x, introduced), (noise.on_sae, dense), (noise.on_sae, introduced))
    result: dict[str, float | None] = {name: pearson(*pair) for name, pair in zip(CORRELATIONS, pairs, strict=True)}
    lead = lambda one, other: None if None in (result[one], result[other]) else result[one] - result[other]  # noqa: E731
    return result | {
        "x_lead": lead("x_dense", "x_introduced"),
        "sae_lead": lead("sae_introduced", "sae_dense"),
    }


def flatness(fvu: np.ndarray, nonlinear: np.ndarray) -> float | None:
    """Change of FVU_nonlinear over change of FVU from no to most ablation, summed over leading axes."""
    change = float((fvu[..., -1] - fvu[..., 0]).sum())
    return float((nonlinear[..., -1] - nonlinear[..., 0]).sum() / change) if change > 0 else None


def lines(
    fvu: Cells, nonlinear: Cells, noise: Noise, r2: Callable[[np.ndarray, np.ndarray], float | None]
) -> dict[str, float | None]:
    """Appendix C.3: is the line of FVU_nonlinear flat, its level Introduced, its distance to the asymptote Dense?

    Args:
        r2: how well one explains the other, such as `r2_of_line`.
    """
    level = nonlinear.mean(-1)
    return {
        "flatness": flatness(fvu, nonlinear),
        "introduced": r2(noise.on_sae, level),
        "dense": r2(noise.on_x, fvu[..., 0] - level),
    }


def own_and_planted(fvu: Cells, nonlinear: Cells, noise: Noise) -> dict[str, float | None]:
    """B.2: FVU_nonlinear over Introduced where there is neither Dense nor an absent feature; 1 where they are equal.

    `own` of what the SAE itself introduces, in the cell without noise, where it is all of the error; `planted` of the
    noise on Sae(x').

    Args:
        noise: as shares of variance.
    """
    error, left = fvu[0, 0, 0], nonlinear[0, 0, 0]
    return {
        "own": float(left / error) if error > 0 else None,
        "planted": float((nonlinear[0, -1, 0] - left) / noise.on_sae[0, -1]),
    }


def excess_over_introduced(nonlinear: Cells, introduced: Cells) -> dict[str, float | None]:
    """B.2: the least that FVU_nonlinear exceeds Introduced by, over the cells with Dense or absent features."""
    excess = nonlinear - introduced
    return {"smallest": float(min(excess[1:].min(), excess[:, :, 1:].min()))}


def least_over_introduced(nonlinear: Cells, introduced: Cells) -> dict[str, float | None]:
    """B.2: `ratio`, the least of FVU_nonlinear over Introduced in the cells with Dense or absent features.

    Of the cells in which Introduced is a share of variance that the ledger's margin does not take for nothing, so that
    a shortfall can show; `introduced` is the largest, None for `ratio` where no cell has that much.
    """
    chosen = np.ones(introduced.shape, dtype=bool)
    chosen[0, :, 0] = False  # neither Dense nor an absent feature: `own_and_planted`
    enough = chosen & (introduced >= MARGIN)
    ratio = float((nonlinear[enough] / introduced[enough]).min()) if enough.any() else None
    return {"ratio": ratio, "introduced": float(introduced[chosen].max())}


def dense_and_recovered(
    fvu: Cells, nonlinear: Cells, noise: Noise, recovered: Float[np.ndarray, " sigma_x"]
) -> dict[str, float | None]:
    """As `dense_found`; beside it how much of the same Dense any linear map of x could recover, weighted alike.

    Args:
        recovered: R² of the best linear map of x_n for the noise on x'.
    """
    share = float((noise.on_x * recovered[:, None])[1:].sum() / noise.on_x[1:].sum())
    return dense_found(fvu, nonlinear, noise) | {"recovered": share}


def dense_found(fvu: Cells, nonlinear: Cells, noise: Noise) -> dict[str, float | None]:
    """B.2: estimated over planted Dense where no feature is absent.

    Args:
        noise: as shares of variance.
    """
    return {"found": float((fvu - nonlinear)[1:, :, 0].sum() / noise.on_x[1:].sum())}
