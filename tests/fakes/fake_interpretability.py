"""Results of the stage interpretability in their exact format: its own estimates of random answers."""

from typing import Any

import numpy as np

from darkmatter.experiments.interpretability.results import plan_of, results_of, stored
from darkmatter.params.schema import Params

WINDOWS, CONTEXTS, D_SAE = 1600, 100, 64


def fake_stored(params: Params) -> dict[str, np.ndarray]:
    own = params.interpretability
    rng = np.random.default_rng(0)
    decile = np.repeat(np.arange(own.deciles + 1), [own.negatives, *([own.examples_per_decile] * own.deciles)])
    records = []
    for part, lift in (("linear", 0.05), ("nonlinear", 0.0)):
        share = np.where(decile > 0, 0.5 + 0.03 * decile + lift, 0.15)
        for latent in range(own.latents):
            answered = latent > 0  # the first one stays without an answer
            predictions = (rng.random(len(decile)) < share).astype(int).tolist() if answered else None
            unanswered = None if answered else "HTTP 429"
            records.append({"part": part, "latent": latent, "decile": decile, "predictions": predictions})
            records[-1]["unanswered"] = unanswered
    fired = np.where(np.arange(D_SAE) < 4, 0, plan_of(params).firing)  # four latents fire in too few windows
    return stored(records, {"linear": fired, "nonlinear": fired}, WINDOWS, CONTEXTS)


def fake(params: Params, judge: str = "surrogate") -> dict[str, Any]:
    endpoint = None if judge == "surrogate" else "http://localhost:8000/v1"
    return results_of(fake_stored(params), params) | {"judge": judge, "endpoint": endpoint}
