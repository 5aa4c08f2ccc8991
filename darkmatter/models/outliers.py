"""Rows of absurd norm, left out of every fit and every score: `decomposition.outlier_norm_ratio`.

Some models send attention sinks through the residual stream: a few tokens of each context with many times the norm of
the others, all in one direction. They hold most of the variance, so that without a filter the numbers are about the
sinks. A row is an outlier if its norm exceeds so many median norms of its hookpoint.
"""

from pathlib import Path

import numpy as np
from jaxtyping import Bool, Float

from darkmatter.models.activation_files import open_activations
from darkmatter.storage.artifacts import ArtifactError


def kept_rows(activations: Path, ratio: float | None) -> Bool[np.ndarray, "context position"]:
    """The rows of one hookpoint that are no outliers; all of them where `ratio` is None.

    Raises:
        ArtifactError: a value is NaN or infinite, or a context is left without a row.
    """
    x = open_activations(activations)
    if ratio is None:
        return np.ones(x.shape[:2], dtype=bool)
    norms = np.stack([row_norms(rows) for rows in x])
    if not np.isfinite(norms).all():
        bad = int(np.flatnonzero(~np.isfinite(norms).all(1))[0])
        raise ArtifactError(f"{activations}: context {bad} holds a NaN or an infinity; run `dvc repro -f activations`")
    kept = kept_of(norms, ratio)
    if not kept.any(1).all():
        raise ArtifactError(
            f"{activations}: context {int(np.argmin(kept.any(1)))} has no row below {ratio:g} times the median norm; "
            "raise decomposition.outlier_norm_ratio"
        )
    return kept


def row_norms(rows: Float[np.ndarray, "row d_model"]) -> Float[np.ndarray, " row"]:
    """Norm of each row, float64."""
    return np.linalg.norm(rows.astype(np.float64), axis=1)


def kept_of(norms: Float[np.ndarray, " *row"], ratio: float) -> Bool[np.ndarray, " *row"]:
    """Which norms do not exceed `ratio` medians."""
    return norms <= ratio * np.median(norms)
