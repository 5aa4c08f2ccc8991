"""Means over rows and the sparsity of latents, by the names that SAEBench's `core` evaluation gives them."""

import numpy as np

from darkmatter.api.engine import FiringCounts
from darkmatter.api.rows import GivenRows
from darkmatter.models.outliers import row_norms

FREQUENT = {"freq_over_1_percent": 0.01, "freq_over_10_percent": 0.1}


SHORT = 1e-4  # norms below this divide as 1, as SAEBench has it


def row_means(table: dict[str, np.ndarray], rows: GivenRows) -> dict[str, float]:
    """What SAEBench averages over all rows, from their squared norms (‖y‖², ‖Sae(x)‖², ‖e‖²).

    `mse` is summed over dimensions, as sae-lens has it. `explained_variance_legacy` is the mean over rows of
    1 − ‖e‖² / ‖y − ȳ‖², which sae-lens and SAEBench reported before they corrected it.
    """
    kept = rows.x.of_rows(rows.kept)
    y, sae, error = (rows.x.of_rows(table[name])[kept].astype(np.float64) for name in ("x", "sae", "error"))
    spread = centred_squares(rows)[kept]
    inner = (y + sae - error) / 2  # y · Sae(x)
    norm_in, norm_out = (np.where(norms < SHORT, 1, norms) for norms in (np.sqrt(y), np.sqrt(sae)))
    varying = spread > 0
    return {
        "mse": float(error.mean()),
        "cossim": float((inner / (norm_in * norm_out)).mean()),
        "explained_variance_legacy": float(1 - (error[varying] / spread[varying]).mean()),
        "l2_norm_in": float(np.sqrt(y).mean()),
        "l2_norm_out": float(np.sqrt(sae).mean()),
        "l2_ratio": float((np.sqrt(sae) / norm_in).mean()),
        "relative_reconstruction_bias": float(sae.mean() / (inner.mean() or np.nan)),
    }


def centred_squares(rows: GivenRows) -> np.ndarray:
    """‖y − ȳ‖² of each row, context by context."""
    y, kept = rows.y, rows.y.of_rows(rows.kept)
    parts = [y.rows_of(context) for context in range(len(y))]
    mean = sum(y.rows[part][kept[part]].sum(0, dtype=np.float64) for part in parts) / kept.sum()
    return np.concatenate([row_norms(np.asarray(y.rows[part] - mean.astype(np.float32))) ** 2 for part in parts])


def sparsity(firings: FiringCounts, rows: int) -> dict[str, float]:
    """How often latents fire, and how much."""
    density = firings.rows_of_latent / rows
    result = {"l1": firings.l1 / rows, "frac_alive": float((density > 0).mean())}
    for name, share in FREQUENT.items():
        often = density > share
        result[name] = float(often.mean())
        result[f"normalized_{name}"] = float(density[often].sum() / density.sum()) if density.any() else 0.0
    return result
