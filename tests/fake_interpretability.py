"""Results of the stage interpretability in their exact format: its own estimates of random answers."""

from typing import Any

import numpy as np

from darkmatter.experiments.interpretability_results import results
from darkmatter.params import Params


def fake(params: Params, judge: str = "surrogate") -> dict[str, Any]:
    own = params.interpretability
    rng = np.random.default_rng(0)
    decile = np.repeat(np.arange(own.deciles + 1), [own.negatives, *([own.examples_per_decile] * own.deciles)])
    records, accounts = [], {}
    for part, lift in (("linear", 0.05), ("nonlinear", 0.0)):
        share = np.where(decile > 0, 0.5 + 0.03 * decile + lift, 0.15)
        for latent in range(own.latents):
            answered = latent > 0  # the first one stays without an answer
            predictions = (rng.random(len(decile)) < share).astype(int).tolist() if answered else None
            unanswered = None if answered else "HTTP 429"
            records.append({"part": part, "latent": latent, "decile": decile, "predictions": predictions})
            records[-1]["unanswered"] = unanswered
        skipped = {"fires in too few windows for the deciles": {"latents": 4, "share": 0.06}}
        accounts[part] = {"asked": own.latents, "found": own.latents, "latents": 64, "skipped": skipped}
    bootstrap = params.decomposition.bootstrap.model_dump()
    content = results(records, accounts, own.deciles, own.examples_per_decile, own.negatives, bootstrap)
    return content | {
        "judge": judge,
        "endpoint": None if judge == "surrogate" else "http://localhost:8000/v1",
        "hookpoint": params.figures.main_hookpoint,
        "sae": params.error_saes.sae,
        "seed": own.error_sae_seed,
        "window": own.window,
        "windows": 1600,
        "contexts": 100,
    }
