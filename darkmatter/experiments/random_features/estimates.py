"""The curve of appendix D and its parabola, from sums of squares: NumPy only.

Explained = 1 − Σ ‖e − b*·x'‖² / Σ ‖x' − x̄'‖² by the unmasked sum and the linear estimate of the masked one together.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from darkmatter.params.conventions import CONVENTIONS
from darkmatter.statistics.joint_levels import joint_level, with_ends
from darkmatter.statistics.seed_intervals import Estimate, seed_estimate

Sums = Mapping[str, np.ndarray]
ORDERS = ("random", "least_frequent_first")
VARIANTS = ("held_out", "in_sample")  # the paper's convention and that of the published code
PRIMARY_ORDER = "random"
CLAIMED = ("curvature", "vertex")  # judged together
PARABOLA = ("curvature", "vertex", "r2", "line_r2", "lowest")


def parabola(shares: np.ndarray, explained: np.ndarray) -> dict[str, float | None]:
    """Least squares of c_0 + c_1 s + c_2 s²: `curvature` = 2 c_2, `vertex` = −c_1 / 2 c_2 where that is a minimum, `r2`
    of this fit and `line_r2` of a straight line; and `lowest`, the share at which least is explained."""
    square = np.square(explained - explained.mean()).sum()
    if not square > 0:
        return dict.fromkeys(PARABOLA)
    fits = {degree: np.polynomial.Polynomial.fit(shares, explained, degree).convert() for degree in (1, 2)}
    r2 = {degree: float(1 - np.square(explained - fit(shares)).sum() / square) for degree, fit in fits.items()}
    _, slope, quadratic = fits[2].coef
    vertex = float(-slope / (2 * quadratic)) if quadratic > 0 else None
    lowest = float(shares[explained.argmin()])
    return {"curvature": float(2 * quadratic), "vertex": vertex, "r2": r2[2], "line_r2": r2[1], "lowest": lowest}


def explained(sums: Sums, variant: str, part: str) -> np.ndarray:
    """1 − FVU at every share; `part`: `left` with the linear estimate of the error, `error` without."""
    number = VARIANTS.index(variant)
    return 1 - sums[part][number] / sums["spread"][number]


def parabola_estimates(by_seed: Sequence[Sums], shares: np.ndarray, variant: str, level: float) -> dict[str, Estimate]:
    """Each of PARABOLA with its interval over seeds."""
    rows, rank = facts_of(by_seed, variant)
    fits = [parabola(shares, explained(sums, variant, "left")) for sums in by_seed]
    why = {"vertex": "the parabola has no minimum"}
    return {
        name: seed_estimate(
            [fit[name] for fit in fits],
            level,
            rows,
            rank,
            (-np.inf, 1.0 if name.endswith("r2") else np.inf),
            why.get(name, "the variance explained does not change"),
        )
        for name in PARABOLA
    }


def curve_estimates(by_seed: Sequence[Sums], shares: Sequence[float], variant: str, level: float) -> list[Any]:
    """One row per share: variance explained with and without the linear estimate of the error."""
    rows, rank = facts_of(by_seed, variant)
    columns = {"explained": "left", "explained_unmasked": "error"}
    values = {name: [explained(sums, variant, part) for sums in by_seed] for name, part in columns.items()}
    return [
        {"masked": share}
        | {
            name: seed_estimate([seed[number] for seed in values[name]], level, rows, rank, (-np.inf, 1.0))
            for name in columns
        }
        for number, share in enumerate(shares)
    ]


def facts_of(by_seed: Sequence[Sums], variant: str) -> tuple[int, int]:
    number = VARIANTS.index(variant)
    return int(by_seed[0]["rows"][number]), int(min(sums["rank"][number] for sums in by_seed))


def random_feature_results(sums: Mapping[str, Sequence[Sums]], shares: Sequence[float], level: float) -> dict[str, Any]:
    """Everything but the settings: `estimands` (also split → convention: rows are independent, so that no split by
    context differs from that by token), and per order and variant the parabola and the curve.

    Args:
        sums: order of masking → arrays of `compute.masked_sums`, one per seed.
    """
    at = np.asarray(shares, dtype=float)
    orders = {
        order: {
            variant: {
                "parabola": parabola_estimates(by_seed, at, variant, level),
                "curve": curve_estimates(by_seed, shares, variant, level),
            }
            for variant in VARIANTS
        }
        for order, by_seed in sums.items()
    }
    together = joint_level(level, len(CLAIMED))

    def judged(variant: str) -> dict[str, Estimate]:
        result, wide = (parabola_estimates(sums[PRIMARY_ORDER], at, variant, one) for one in (level, together))
        return {name: with_ends(result[name], wide[name], level, together) for name in CLAIMED}

    claims = {
        convention: {"random_feature_parabola": judged(variant)}
        for convention, variant in zip(CONVENTIONS, VARIANTS, strict=True)
    }
    l0 = float(np.mean([seed["l0"][0] for seed in sums[PRIMARY_ORDER]]))
    return {"estimands": claims["paper"], "estimands_by_variant": {"token": claims}, "orders": orders, "l0": l0}
