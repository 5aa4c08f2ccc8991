"""Results of the latent_probe stage, made from a table of latents with no model behind it."""

from typing import Any

import numpy as np

from darkmatter.experiments.latent_probe.results import results_of, stored
from darkmatter.params.schema import Params


def fake_table(seed: int) -> dict[str, np.ndarray]:
    random = np.random.default_rng(seed)
    firings = random.poisson(40, 64)
    firings[:2] = 0
    weight = random.gamma(3.0, size=64)
    latents = {"firings": firings, "sum": firings * weight, "square": 1.5 * firings * weight**2}
    parts = random.dirichlet(np.full(10, 50.0), 64).T  # (group, latent)
    latents |= {"group_sum": parts * latents["sum"], "group_product": 0.9 * parts * latents["sum"] * weight}
    for split in ("token", "context"):
        for way, scale in (("paper", 1.0), ("authors", 0.9)):
            latents[f"probe/{split}/{way}"] = scale * weight + 0.3 * random.standard_normal(64)
    return latents


def fake_stored(params: Params) -> dict[str, np.ndarray]:
    random = np.random.default_rng(0)
    rows = np.tile([[40.0], [40.0], [100.0]], 10)
    target = random.standard_normal((3, 10, 1))
    sums = {"rows": rows, "total": target, "square": target**2 + 100}
    for key in ("token/paper", "token/authors", "context/paper", "context/authors", "in-sample"):
        sums[f"residual/{key}"] = np.full((3, 10, 1), 15.0)
    further = {name: fake_table(seed) for seed, name in enumerate(params.latent_probe.further_saes, 1)}
    return stored(fake_table(0), sums, dict.fromkeys(("token", "context", "all"), 24), further)


def fake(params: Params) -> dict[str, Any]:
    return results_of(fake_stored(params), params)
