"""The results of the stage per_token_scaling from its stored sums: no torch."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from darkmatter.experiments.per_token_scaling.estimates import (
    Scaling,
    pair_estimates,
    pairs_of,
    scaling_estimands,
    scalings_of,
    stored_scalings,
)
from darkmatter.experiments.per_token_scaling.params import PerTokenScaling
from darkmatter.experiments.per_token_scaling.token_series import part_estimands, token_series
from darkmatter.params.conventions import CONVENTIONS, PRIMARY
from darkmatter.params.schema import Params
from darkmatter.regression.splits import SPLITS
from darkmatter.storage.packed_sums import gather, select

STORED = "per_token_scaling_sums.npz"  # of `stored_scalings`, and `tokens/…` of `token_sums`

Sums = Mapping[str, np.ndarray]


def compared(params: Params) -> list[dict[str, Any]]:
    """`name`, `d_sae` and `k` of the SAEs compared."""
    specs = params.sae_specs(params.figures.main_hookpoint)
    options: PerTokenScaling = params.per_token_scaling
    return [{"name": spec.name, "d_sae": spec.d_sae, "k": spec.k} for spec in specs if spec.group in options.groups]


def stored(scalings: Sequence[Scaling], tokens: Sums) -> dict[str, np.ndarray]:
    """Content of STORED."""
    return stored_scalings(scalings) | gather({"tokens": tokens})


def results_of(arrays: Sums, params: Params) -> dict[str, Any]:
    """The results file from STORED, but for the text of the tokens."""
    saes, bootstrap = compared(params), params.decomposition.bootstrap.model_dump()
    pairs = pairs_of(scalings_of(arrays, saes))
    tokens = select(arrays, "tokens")
    variants = {
        split: {
            way: scaling_estimands(pairs, split, way, bootstrap) | part_estimands(saes, tokens, split, way, bootstrap)
            for way in CONVENTIONS
        }
        for split in SPLITS
    }
    split, convention = PRIMARY
    return {
        "hookpoint": params.figures.main_hookpoint,
        "pairs": [pair_estimates(pair, bootstrap) for pair in pairs],
        "tokens": token_series(saes, tokens, params.tokens.first_position),
        "estimands": variants[split][convention],
        "estimands_by_variant": variants,
    }


def derive(sums: Mapping[str, Sums], committed: dict[str, Any], params: Params) -> dict[str, Any]:
    """The results file again, from STORED alone (`Record.derive`); the tokens' text needs the tokenizer."""
    return results_of(sums[STORED], params)
