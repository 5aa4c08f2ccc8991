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
from darkmatter.experiments.per_token_scaling.pair_noise import PairNoise, with_noise
from darkmatter.experiments.per_token_scaling.params import PerTokenScaling
from darkmatter.experiments.per_token_scaling.token_series import part_estimands, token_series
from darkmatter.params.conventions import CONVENTIONS, PRIMARY
from darkmatter.params.saes import SaeSpec
from darkmatter.params.schema import Params
from darkmatter.regression.splits import SPLITS
from darkmatter.statistics.seed_noise import seed_groups
from darkmatter.storage.packed_sums import gather, select

STORED = "per_token_scaling_sums.npz"  # of `stored_scalings`, and `tokens/…` of `token_sums`

Sums = Mapping[str, np.ndarray]


def facts(spec: SaeSpec) -> dict[str, Any]:
    return {"name": spec.name, "d_sae": spec.d_sae, "k": spec.k}


def compared(params: Params) -> list[dict[str, Any]]:
    """`name`, `d_sae` and `k` of the SAEs compared."""
    specs = params.sae_specs(params.figures.main_hookpoint)
    options: PerTokenScaling = params.per_token_scaling
    return [facts(spec) for spec in specs if spec.group in options.groups]


def alike(params: Params) -> list[list[dict[str, Any]]]:
    """The same of SAEs that differ in their training seed alone, of a k that is compared."""
    ks = {sae["k"] for sae in compared(params)}
    groups = seed_groups(params.sae_specs(params.figures.main_hookpoint), getattr)
    return [[facts(spec) for spec in group] for group in groups if group[0].k in ks]


def measured(params: Params) -> list[dict[str, Any]]:
    """All whose sums are stored, each once."""
    saes = [*compared(params), *(sae for group in alike(params) for sae in group)]
    return list({sae["name"]: sae for sae in saes}.values())


def stored(scalings: Sequence[Scaling], tokens: Sums) -> dict[str, np.ndarray]:
    """Content of STORED."""
    return stored_scalings(scalings) | gather({"tokens": tokens})


def results_of(arrays: Sums, params: Params) -> dict[str, Any]:
    """The results file from STORED, but for the text of the tokens."""
    saes, bootstrap = compared(params), params.decomposition.bootstrap.model_dump()
    chosen, groups = {sae["name"] for sae in saes}, [[sae["name"] for sae in group] for group in alike(params)]
    every = pairs_of(scalings_of(arrays, measured(params)))
    pairs = [pair for pair in every if chosen >= set(pair.ends)]
    tokens = select(arrays, "tokens")

    def judged(split: str, way: str) -> dict[str, Any]:
        noise = PairNoise.of(every, pairs, groups, split, way)
        scaling = with_noise(scaling_estimands(pairs, split, way, bootstrap), pairs, noise)
        return scaling | part_estimands(saes, tokens, split, way, bootstrap, groups)

    variants = {split: {way: judged(split, way) for way in CONVENTIONS} for split in SPLITS}
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
