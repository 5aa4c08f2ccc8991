"""The results of the stage downstream from its stored sums: no torch."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from darkmatter.experiments.downstream.estimates import dimension_sums, estimates, pooled_sums
from darkmatter.experiments.downstream.params import Downstream
from darkmatter.params.schema import Params

STORED = "downstream_sums.npz"  # of `pooled_sums`, and facts, see `stored`
STORED_DIMENSIONS = "downstream.npz"  # of `dimension_sums`


Sums = Mapping[str, np.ndarray]


def stored(
    sums: Sums, contexts: Sequence[int], positions: int, rank: Mapping[str, int]
) -> tuple[dict[str, np.ndarray], dict[str, np.ndarray]]:
    """Content of STORED and of STORED_DIMENSIONS.

    Args:
        sums: as `compute.splice_context` writes them, stacked over contexts.
        contexts: their numbers.
        positions: of each context.
        rank: of each SAE's map.
    """
    facts = {f"{sae}/rank": np.array(number) for sae, number in rank.items()}
    facts |= {"contexts": np.array(contexts), "positions": np.array(positions)}
    return pooled_sums(sums) | facts, dimension_sums(sums)


def results_of(arrays: Sums, saes: Sequence[Mapping[str, Any]], params: Params) -> dict[str, Any]:
    """The results file but for the names of model and split.

    Args:
        arrays: STORED, and STORED_DIMENSIONS where it is there.
        saes: facts of each SAE, `name` among them.
    """
    options: Downstream = params.downstream
    first = params.tokens.first_position
    rank = {sae["name"]: int(arrays[f"{sae['name']}/rank"]) for sae in saes}
    return {
        "hookpoint": params.figures.main_hookpoint,
        "contexts": arrays["contexts"].tolist(),
        "rows": int(arrays["rows"].sum()),
        "positions": [first, first + int(arrays["positions"]) - 1],
        "controls": options.controls,
        **estimates(arrays, saes, rank, params.decomposition.bootstrap.model_dump()),
    }


def derive(sums: Mapping[str, Sums], committed: dict[str, Any], params: Params) -> dict[str, Any]:
    """The results file again (`Record.derive`), but for facts about model and SAEs.

    Without STORED_DIMENSIONS the expectations that average over dimensions are left out, and what is judged by them.
    """
    arrays = {**sums[STORED], **sums.get(STORED_DIMENSIONS, {})}
    return results_of(arrays, [{"name": name} for name in params.downstream.saes], params)
