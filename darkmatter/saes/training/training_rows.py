"""Rows of activations for training: checked, centred, scaled, shuffled, and never copied whole.

A row is one token. Files are [contexts, positions, d_model] on disk and memory-mapped; statistics come from one
pass in float64, batches are gathered by index.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from darkmatter.models.activation_files import Activations, open_activations, rows_of
from darkmatter.storage.artifacts import ArtifactError

BLOCK_ROWS = 8192  # 19 MB at d_model 576: a pass holds one block in float64


@dataclass(frozen=True)
class TrainingRows:
    """The rows one SAE may train on, and the affine map z = (x − mean) / scale to what it sees.

    Attributes:
        rows: activations [row, d_model], memory-mapped; they read as float32.
        kept: indices of the rows that are no outliers.
        dropped: number of outliers, rows whose norm exceeds `outlier_norm_ratio` medians.
        mean: float32 [d_model], over the kept rows.
        scale: positive; makes the mean squared norm of z equal d_model.
    """

    rows: Activations
    kept: np.ndarray
    dropped: int
    mean: np.ndarray
    scale: float

    @property
    def d_model(self) -> int:
        return self.rows.shape[1]

    def standardised(self, index: np.ndarray) -> np.ndarray:
        """z of some kept rows, float32 [len(index), d_model]."""
        return (self.rows[self.kept[index]] - self.mean) * np.float32(1.0 / self.scale)

    def batches(self, size: int, seed: int) -> Iterator[np.ndarray]:
        """Endless batches of z. Each epoch is one seeded permutation; a batch may span two epochs."""
        epoch, waiting = 0, np.empty(0, dtype=np.int64)
        while True:
            while len(waiting) < size:
                order = np.random.default_rng([seed, epoch]).permutation(len(self.kept))
                waiting, epoch = np.concatenate([waiting, order]), epoch + 1
            chosen, waiting = waiting[:size], waiting[size:]
            yield self.standardised(chosen)


def open_rows(path: Path, contexts: int, outlier_norm_ratio: float, min_rows: int) -> TrainingRows:
    """Open the first `contexts` contexts of an activation file for training.

    Raises:
        ArtifactError: fewer contexts than asked for, fewer usable rows than `min_rows`, NaN or infinity, or
            rows that are all equal.
    """
    array = open_activations(path)
    if len(array) < contexts:
        raise ArtifactError(
            f"{path} holds {len(array)} contexts, {contexts} are asked for. Run `dvc repro activations`, "
            "or lower hookpoints.*.train_contexts."
        )
    rows = rows_of(array[:contexts])
    norms = np.concatenate([np.linalg.norm(block, axis=1) for block in blocks(rows)])
    if not np.isfinite(norms).all():
        bad = int(np.flatnonzero(~np.isfinite(norms))[0])
        context, position = divmod(bad, array.shape[1])
        raise ArtifactError(
            f"{path} holds NaN or infinity (context {context}, position index {position}). "
            "Rerun `dvc repro -f activations`; a model in half precision may overflow."
        )
    kept = np.flatnonzero(norms <= outlier_norm_ratio * np.median(norms))
    if len(kept) < min_rows:
        raise ArtifactError(
            f"{path}: {len(kept)} rows to train on, {len(rows) - len(kept)} dropped as outliers, below one batch of "
            f"{min_rows}. "
            "Raise hookpoints.*.train_contexts, or lower saes.training.batch_size."
        )
    mean = sum(rows[index].sum(0, dtype=np.float64) for index in index_blocks(kept)) / len(kept)
    squares = sum(np.square(rows[index] - mean).sum() for index in index_blocks(kept))  # float64, after centring
    scale = float(np.sqrt(squares / len(kept) / rows.shape[1]))
    if scale == 0:
        raise ArtifactError(f"{path}: all rows are equal, so there is nothing to train on")
    return TrainingRows(rows, kept, len(rows) - len(kept), mean.astype(np.float32), scale)


def blocks(rows: Activations) -> Iterator[Activations]:
    return (rows[start : start + BLOCK_ROWS] for start in range(0, len(rows), BLOCK_ROWS))


def index_blocks(index: np.ndarray) -> Iterator[np.ndarray]:
    return (index[start : start + BLOCK_ROWS] for start in range(0, len(index), BLOCK_ROWS))
