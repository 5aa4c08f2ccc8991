"""Results of the nulls stage: invented sums per context of SAEs with given numbers, the real estimates."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from darkmatter.experiments.nulls.estimates import NullSums
from darkmatter.experiments.nulls.names import FROZEN_DECODER, GAUSSIAN, RANDOM_MODEL, TRAINED
from darkmatter.experiments.nulls.results import RANK, results_of
from darkmatter.params.conventions import CONVENTIONS
from darkmatter.params.schema import Params
from darkmatter.regression.splits import SPLITS
from darkmatter.statistics.per_dimension import error_sums
from darkmatter.statistics.sae_estimates import NORM_TEST
from darkmatter.storage.packed_sums import gather

D_MODEL, CONTEXTS, TOKENS = 12, 16, 40
VARIANCE = 5.0  # of each dimension of x
SOURCES = (*SPLITS, "all", "cross-fit")
Arrays = dict[str, np.ndarray]

# FVU, R² of the error vector, R² of its norm, R² of the norm of LinearError: numbers as the predictions have them.
WORLD: dict[str, dict[str, float]] = {
    TRAINED: {"fvu": 0.2, "vector_r2": 0.5, "norm_r2": 0.78, "linear": 0.84},
    FROZEN_DECODER: {"fvu": 0.6, "vector_r2": 0.72, "norm_r2": 0.85, "linear": 0.9},
    RANDOM_MODEL: {"fvu": 0.4, "vector_r2": 0.55, "norm_r2": 0.6, "linear": 0.5},
    GAUSSIAN: {"fvu": 0.32, "vector_r2": 0.7, "norm_r2": 0.1, "linear": 0.05},
}


def rows_of_sets() -> np.ndarray:
    """[row set, context]: every other context is held out of the context split."""
    token = np.full(CONTEXTS, TOKENS // 2)
    context = np.where(np.arange(CONTEXTS) % 2 == 0, TOKENS, 0)
    return np.stack([token, context, np.full(CONTEXTS, TOKENS)]).astype(float)


def sae_sums(numbers: Mapping[str, float], square: np.ndarray, random: np.random.Generator) -> Arrays:
    """The sums of one SAE, as the decomposition leaves them.

    Args:
        square: Σ x², [row set, context, dimension].
    """
    rows = rows_of_sets()
    each = lambda level: rows * level * random.gamma(400, 1 / 400, size=CONTEXTS)  # noqa: E731
    left = 1 - numbers["vector_r2"]
    error = each(numbers["fvu"] * VARIANCE)[..., None] * np.ones(D_MODEL)
    dimensions = {"error_sum": np.zeros_like(error), "error_square": error}
    sums = {"sum/error": error.sum(-1), "sum/norm_x": each(1.0), "sum/norm_sae": each(0.94), "sum/l0": 4 * rows}
    sums["latent_fired"] = np.array([60.0, 64.0])
    for source in SOURCES:
        sums |= {f"sum/{part}/{source}": each(1.0) for part in ("linear", "nonlinear", "cosine")}
    columns = {"x", "sae", "error", *(f"{part}/{source}" for part in NORM_TEST[3:] for source in SOURCES)}
    for column in columns:
        sums |= {f"centred_sum/{column}": 0 * rows, f"centred_square/{column}": rows}
    r2 = {"x": 0.97, "sae": 0.8, "error": numbers["norm_r2"], "linear": numbers["linear"], "nonlinear": 0.8}
    keys = [(f"{split}/{way}/{name}", name) for split in SPLITS for way in CONVENTIONS for name in NORM_TEST]
    for key, name in (*keys, *((f"cross-fit/{name}", name) for name in NORM_TEST[3:])):
        sums[f"residual/{key}"] = each(1 - r2[name])
    for split in SPLITS:
        for way in CONVENTIONS:
            dimensions[f"nonlinear/{split}/{way}"] = left * error
            sums[f"pooled/nonlinear/{split}/{way}"] = left * error.sum(-1)
    return sums | error_sums({"rows": rows, "x_sum": np.zeros_like(square), "x_square": square}, dimensions)


def hookpoint_arrays(params: Params, numbers: Mapping[str, float], random: np.random.Generator) -> Arrays:
    """As the committed sums of a hookpoint that has these SAEs alone."""
    rows = rows_of_sets()
    square = VARIANCE * rows[..., None] * np.ones(D_MODEL)
    arrays = {"rows": rows, "square": square.sum(-1), "cross": np.zeros((len(rows), CONTEXTS, CONTEXTS))}
    return arrays | gather({sae: sae_sums(numbers, square, random) for sae in params.nulls.saes})


def fake_sums(params: Params, **changed: Mapping[str, float]) -> tuple[Arrays, NullSums]:
    """(content of STORED, sums of the trained SAEs).

    Args:
        changed: null → numbers that are others than in WORLD.
    """
    random = np.random.default_rng(0)
    world = {null: numbers | changed.get(null, {}) for null, numbers in WORLD.items()}
    made = {null: hookpoint_arrays(params, numbers, random) for null, numbers in world.items()}
    rank = dict.fromkeys(SPLITS, D_MODEL)
    trained = NullSums(made.pop(TRAINED), rank)
    ranks: dict[str, Any] = {f"{RANK}/{split}": np.array(number) for split, number in rank.items()}
    return gather({null: arrays | ranks for null, arrays in made.items()}), trained


def fake(params: Params) -> dict[str, Any]:
    return results_of(*fake_sums(params), params)
