"""Per-token scaling: how well the error norm of a small SAE predicts that of a larger one (Eq. 13)."""

import itertools
from typing import Any

import numpy as np
from jaxtyping import Float

from darkmatter import metrics
from darkmatter.bootstrap import ContextBootstrap
from darkmatter.context_sums import scalar_sums
from darkmatter.estimates import Estimate, estimate
from darkmatter.splits import SPLITS, Splits

PerToken = Float[np.ndarray, "context position"]

# Squared norms with intercept (section 4: intercepts are included); norms with intercept (published code);
# squared norms with c alone, as Eq. 13 is printed.
VARIANTS = {"paper": (True, True), "authors": (False, True), "through_origin": (True, False)}


def fit_line(x: np.ndarray, y: np.ndarray, intercept: bool) -> tuple[float, float]:
    """Least-squares slope and intercept (0 without one) of y on x."""
    x_mean, y_mean = (x.mean(), y.mean()) if intercept else (0.0, 0.0)
    spread = np.sum((x - x_mean) ** 2)
    slope = np.sum((x - x_mean) * (y - y_mean)) / spread if spread > 0 else 0.0
    return float(slope), float(y_mean - slope * x_mean)


def scaling_r2(
    first_sq: PerToken, second_sq: PerToken, splits: Splits, split: str, variant: str, bootstrap: dict[str, Any]
) -> Estimate:
    """Held-out R² of predicting the second SAE's error norm from the first's.

    Args:
        first_sq: squared error norms of the smaller SAE, float64.
        second_sq: those of the larger.
        split: `token` or `context`.
        variant: a key of VARIANTS.
    """
    squared, intercept = VARIANTS[variant]
    x, y = (first_sq, second_sq) if squared else (np.sqrt(first_sq), np.sqrt(second_sq))
    fitted = splits.fits_on(split)
    slope, constant = fit_line(x[fitted], y[fitted], intercept)
    held_out = (~fitted)[None].astype(np.float64)
    shifted = y - y[fitted].mean()
    columns = (np.ones_like(y), shifted, shifted**2, (y - slope * x - constant) ** 2)
    sums = [scalar_sums(held_out, column)[0] for column in columns]
    used = np.flatnonzero(sums[0])
    rows, total, square, left = (column[used] for column in sums)
    units = ContextBootstrap(len(used), **bootstrap)
    return estimate(units, lambda weights: metrics.r2(weights, rows, total, square, left), rows, 1 + intercept)


def all_pairs(
    saes: list[dict[str, Any]], error_sq: dict[str, PerToken], splits: Splits, bootstrap: dict[str, Any]
) -> list[dict[str, Any]]:
    """E13 for every pair of SAEs in which the second is wider.

    Args:
        saes: `name` and `d_sae` of each.
        error_sq: squared error norms by name.
    """
    ordered = sorted(saes, key=lambda sae: sae["d_sae"])
    return [
        {
            "sae_1": first["name"],
            "sae_2": second["name"],
            "d_sae_1": first["d_sae"],
            "d_sae_2": second["d_sae"],
            "estimates": {
                split: {
                    variant: scaling_r2(
                        error_sq[first["name"]], error_sq[second["name"]], splits, split, variant, bootstrap
                    )
                    for variant in VARIANTS
                }
                for split in SPLITS
            },
        }
        for first, second in itertools.combinations(ordered, 2)
        if first["d_sae"] < second["d_sae"]
    ]
