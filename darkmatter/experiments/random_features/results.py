"""The results file of appendix D from sums of squares, as they are stored."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from darkmatter.experiments.random_features.estimates import ORDERS, VARIANTS, Sums, random_feature_results
from darkmatter.experiments.random_features.params import RandomFeatures
from darkmatter.params.schema import Params
from darkmatter.storage.artifacts import ArtifactError
from darkmatter.storage.packed_sums import gather, select

STORED = "random_features_sums.npz"  # `ORDER/SUM` [seed, …]


def stored(sums: Mapping[str, Sequence[Sums]]) -> dict[str, np.ndarray]:
    """Content of STORED: sums as for `random_feature_results`, stacked over seeds."""
    stacked = {
        order: {name: np.stack([seed[name] for seed in seeds]) for name in seeds[0]} for order, seeds in sums.items()
    }
    return gather(stacked)


def results_of(arrays: Sums, params: Params) -> dict[str, Any]:
    """The results file from STORED.

    Raises:
        ArtifactError: the sums are of other seeds or shares than `params` says.
    """
    section: RandomFeatures = params.random_features
    level = params.decomposition.bootstrap.level
    sums = {}
    for order in ORDERS:
        own = select(arrays, order)
        if own["left"].shape != (len(section.seeds), len(VARIANTS), len(section.masked_shares)):
            raise ArtifactError(
                f"{STORED} is of other seeds or shares than params.yaml. Run `dvc repro random_features`."
            )
        sums[order] = [{name: array[seed] for name, array in own.items()} for seed in range(len(section.seeds))]
    return section.model_dump() | {"level": level, **random_feature_results(sums, section.masked_shares, level)}


def derive(sums: Mapping[str, Sums], committed: dict[str, Any], params: Params) -> dict[str, Any]:
    """The results file again, from STORED alone (`Record.derive`)."""
    return results_of(sums[STORED], params)
