"""Results of the random_features stage in the format of its JSON: invented sums of squares, the real estimates."""

from typing import Any

import numpy as np

from darkmatter.experiments.random_features.estimates import ORDERS, VARIANTS, random_feature_results
from darkmatter.params.schema import Params


def fake_sums(shares: np.ndarray, order: str, seed: int) -> dict[str, np.ndarray]:
    jitter = 1 + 0.005 * np.random.default_rng(seed).standard_normal((len(VARIANTS), len(shares)))
    masked = shares if order == "random" else shares**4
    return {
        "rows": np.array([400.0, 1000.0]),
        "rank": np.full(len(VARIANTS), 24.0),
        "spread": np.full(len(VARIANTS), 1e4),
        "error": 1.2e4 * masked * jitter,
        "left": 6e3 * masked * (1 - masked) * jitter,
        "l0": np.array([6.02]),
    }


def fake(params: Params) -> dict[str, Any]:
    section = params.random_features
    level = params.decomposition.bootstrap.level
    shares = np.array(section.masked_shares)
    sums = {order: [fake_sums(shares, order, seed) for seed in section.seeds] for order in ORDERS}
    results = random_feature_results(sums, section.masked_shares, level)
    return section.model_dump() | {"level": level, **results}
