"""Activations whose features are known: sparse, correlated, in a hierarchy and in superposition, and a dense part.

Features, their hierarchy, how often and how strongly they fire and how that is correlated are those of sae-lens's
`SyntheticModel`. It has no dense part; here it is Gaussian in some orthogonal directions, of a given share of the
variance. Rows are independent of each other: a context is as many rows, and nothing else.
"""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from darkmatter.experiments.ground_truth.params import World
from darkmatter.storage.artifacts import write_arrays

if TYPE_CHECKING:  # sae-lens takes seconds to import: only a process that draws pays for it
    from sae_lens.synthetic import SyntheticModel

TRAIN, EVAL = "train.npy", "eval.npy"
SIDES = {TRAIN: 1, EVAL: 2}  # added to the seed: rows that are scored are no rows that were trained on
TRUTH = "truth.npz"  # `weights` [row, feature] and `dense` [row, d_model] of EVAL; `directions` [feature, d_model]


def draw_world(out: Path, world: dict[str, Any], train_rows: int, contexts: int, context_rows: int) -> None:
    """Write TRAIN, EVAL, float32 [context, position, d_model], and TRUTH (a unit of the stage ground_truth).

    Args:
        world: the fields of `params.World`.
        train_rows: rounded up to whole contexts.
        contexts: of EVAL.
    """
    settings = World.model_validate(world)
    model = synthetic_model(settings)
    directions = model.feature_dict.feature_vectors.detach()
    deviation = 0.0
    for name, count in {TRAIN: -(-train_rows // context_rows), EVAL: contexts}.items():
        random = np.random.default_rng([settings.seed, SIDES[name]])
        sparse, weights = draw_sparse(model, count * context_rows, settings.seed + SIDES[name])
        if name == TRAIN:
            deviation = dense_deviation(sparse, settings)
        dense = (deviation * draw_dense(settings, random, len(sparse))).astype(np.float32)
        np.save(out / name, (sparse.numpy() + dense).reshape(count, context_rows, settings.d_model))
    write_arrays(out / TRUTH, {"weights": weights.numpy(), "dense": dense, "directions": directions.numpy()})


def synthetic_model(world: World) -> "SyntheticModel":
    from sae_lens.synthetic import (
        HierarchyConfig,
        LowRankCorrelationConfig,
        SyntheticModel,
        SyntheticModelConfig,
        ZipfianFiringProbabilityConfig,
    )

    often = ZipfianFiringProbabilityConfig(world.zipf_exponent, world.most_often, world.least_often)
    hierarchy = HierarchyConfig(world.roots, world.children, max_depth=1, compensate_probabilities=True)
    return SyntheticModel(
        SyntheticModelConfig(
            num_features=world.features,
            hidden_dim=world.d_model,
            firing_probability=often,
            hierarchy=hierarchy,
            correlation=LowRankCorrelationConfig(world.correlation_rank, world.correlation_scale),
            mean_firing_magnitudes=world.magnitude,
            std_firing_magnitudes=world.magnitude_deviation,
            seed=world.seed,
        )
    )


def draw_sparse(
    model: "SyntheticModel", rows: int, seed: int
) -> tuple[Float[Tensor, "row d_model"], Float[Tensor, "row feature"]]:
    """Σ w_j y_j + bias, and all w_j."""
    with torch.random.fork_rng(devices=[]), torch.no_grad():
        torch.manual_seed(seed)
        return model.sample_with_features(rows)


def dense_deviation(sparse: Float[Tensor, "row d_model"], world: World) -> float:
    """Of each dense direction, so that the dense part has its share of the variance of x."""
    variance = float(sparse.double().var(0).sum())
    return (variance * world.dense_share / (1 - world.dense_share) / world.dense_rank) ** 0.5


def draw_dense(world: World, random: np.random.Generator, rows: int) -> Float[np.ndarray, "row d_model"]:
    """Standard normal in each dense direction; the directions are the same at every call."""
    drawn = np.random.default_rng(world.seed).standard_normal((world.d_model, world.dense_rank))
    return random.standard_normal((rows, world.dense_rank)) @ np.linalg.qr(drawn)[0].T
