"""The results of the stage downstream from its stored sums: no torch."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from darkmatter.experiments.downstream.estimates import estimates, kept_sums
from darkmatter.experiments.downstream.params import Downstream
from darkmatter.params.schema import Params

STORED = "downstream_sums.npz"  # of `kept_sums`, and facts, see `stored`

Sums = Mapping[str, np.ndarray]


def stored(sums: Sums, contexts: Sequence[int], positions: int, rank: Mapping[str, int]) -> dict[str, np.ndarray]:
    """Content of STORED.

    Args:
        sums: as `compute.splice_context` writes them, stacked over contexts.
        contexts: their numbers.
        positions: of each context.
        rank: of each SAE's map.
    """
    facts = {f"{sae}/rank": np.array(number) for sae, number in rank.items()}
    facts |= {"contexts": np.array(contexts), "positions": np.array(positions)}
    return kept_sums(sums) | facts


def results_of(arrays: Sums, saes: Sequence[Mapping[str, Any]], params: Params) -> dict[str, Any]:
    """The results file but for the names of model and split.

    Args:
        arrays: content of STORED.
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
    """The results file again (`Record.derive`), but for facts about model and SAEs."""
    return results_of(sums[STORED], [{"name": name} for name in params.downstream.saes], params)
