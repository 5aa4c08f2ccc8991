"""Rows of a Gaussian with the mean and the covariance of some activations.

x = mean + root z with z standard normal and root rootᵀ the covariance. Rows are independent of each other: a context is
as many rows as a real one, and nothing else.
"""

from pathlib import Path

import numpy as np
from jaxtyping import Float

from darkmatter.models.activation_files import open_activations
from darkmatter.saes.training.training_rows import BLOCK_ROWS, TrainingRows, open_rows

TRAIN, EVAL = "train.npy", "eval.npy"
SIDES = {TRAIN: 0, EVAL: 1}  # of the seed: the rows that are scored are no rows that were trained on


def draw_gaussian(
    out: Path, train: str, contexts: int, held_out: str, drawn: int, seed: int, outlier_norm_ratio: float
) -> None:
    """Write TRAIN and EVAL, float32 [context, position, d_model] (a unit of the stage nulls).

    Args:
        train: activations of which the moments are taken; outliers are left out as in training.
        contexts: how many of their contexts to use.
        held_out: activations of which EVAL has as many contexts.
        drawn: contexts of TRAIN.

    Raises:
        ArtifactError: as `open_rows`.
    """
    rows = open_rows(Path(train), contexts, outlier_norm_ratio, 1)
    mean, root = moments(rows)
    held_out_contexts, positions, d_model = open_activations(Path(held_out)).shape
    for name, count in {TRAIN: drawn, EVAL: held_out_contexts}.items():
        file = np.lib.format.open_memmap(out / name, mode="w+", dtype=np.float32, shape=(count, positions, d_model))
        for context in range(count):
            random = np.random.default_rng([seed, SIDES[name], context])
            file[context] = mean + random.standard_normal((positions, d_model)) @ root.T
        file.flush()


def moments(
    rows: TrainingRows,
) -> tuple[Float[np.ndarray, " d_model"], Float[np.ndarray, "d_model d_model"]]:
    """Mean, and a root of the covariance, in float64 over the kept rows."""
    mean, d_model = rows.mean.astype(np.float64), rows.d_model
    total, products = np.zeros(d_model), np.zeros((d_model, d_model))
    for start in range(0, len(rows.kept), BLOCK_ROWS):
        block = np.asarray(rows.rows[rows.kept[start : start + BLOCK_ROWS]], dtype=np.float64) - mean
        total += block.sum(0)
        products += block.T @ block
    excess = total / len(rows.kept)  # the mean that was taken away is rounded
    variances, directions = np.linalg.eigh(products / len(rows.kept) - np.outer(excess, excess))
    return mean + excess, directions * np.sqrt(variances.clip(min=0))
