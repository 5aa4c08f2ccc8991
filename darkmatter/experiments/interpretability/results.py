"""The results file of Fig. 7 from what was predicted of each latent, as it is stored."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from darkmatter.experiments.error_saes.names import PARTS
from darkmatter.experiments.interpretability.estimates import Sums, results
from darkmatter.experiments.interpretability.latent_examples import ExampleCounts
from darkmatter.experiments.interpretability.params import Interpretability
from darkmatter.params.schema import Params
from darkmatter.storage.packed_sums import gather, select

STORED = "interpretability_sums.npz"  # `PART/…` of `record_arrays`, `PART/fired`, `windows`, `contexts`
UNANSWERED = -1  # in place of a prediction


def record_arrays(records: Sequence[Mapping[str, Any]]) -> dict[str, np.ndarray]:
    """The records of one part as arrays.

    Returns:
        `latent` and `unanswered` (the reason, else empty) [latent]; `decile` and `prediction` (1: fires, 0: silent,
        or UNANSWERED) [latent, window].
    """
    predictions = [
        [UNANSWERED] * len(record["decile"]) if record["predictions"] is None else record["predictions"]
        for record in records
    ]
    return {
        "latent": np.array([record["latent"] for record in records], dtype=np.int32),
        "decile": np.array([record["decile"] for record in records], dtype=np.int16),
        "prediction": np.array(predictions, dtype=np.int8),
        "unanswered": np.array([record["unanswered"] or "" for record in records], dtype=np.str_),
    }


def plan_of(params: Params) -> ExampleCounts:
    own: Interpretability = params.interpretability
    return ExampleCounts(own.deciles, own.examples_per_decile, own.negatives, own.explained_examples, own.seed)


def stored(
    records: Sequence[Mapping[str, Any]], fired: Mapping[str, np.ndarray], windows: int, contexts: int
) -> dict[str, np.ndarray]:
    """Content of STORED.

    Args:
        records: of both parts.
        fired: part → in how many of the windows each latent of its SAE fires.
    """
    own = {
        part: record_arrays([record for record in records if record["part"] == part]) | {"fired": fired[part]}
        for part in PARTS
    }
    return gather(own) | {"windows": np.array(windows), "contexts": np.array(contexts)}


def results_of(arrays: Sums, params: Params) -> dict[str, Any]:
    """The results file from STORED."""
    settings, windows = params.interpretability, int(arrays["windows"])
    own = {part: select(arrays, part) for part in PARTS}
    content = results(own, windows, plan_of(params), settings.latents, params.decomposition.bootstrap.model_dump())
    content |= {"judge": settings.model if settings.endpoint else "surrogate", "endpoint": settings.endpoint}
    content |= {"hookpoint": params.figures.main_hookpoint, "sae": params.error_saes.sae, "window": settings.window}
    return content | {
        "seed": settings.error_sae_seed,
        "windows": windows,
        "contexts": int(arrays["contexts"]),
    }


def derive(sums: Mapping[str, Sums], committed: dict[str, Any], params: Params) -> dict[str, Any]:
    """The results file again, from STORED alone (`Record.derive`)."""
    return results_of(sums[STORED], params)
