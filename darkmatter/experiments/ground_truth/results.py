"""Files of the experiment, and the results file made of the sums. No torch."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from darkmatter.experiments.ground_truth.estimands import estimands
from darkmatter.experiments.ground_truth.estimates import SaeSums
from darkmatter.experiments.ground_truth.names import ENCODERS, OWN, PARTS, STORED, SUMS
from darkmatter.experiments.ground_truth.params import SyntheticSae
from darkmatter.params.schema import Params
from darkmatter.statistics.sae_estimates import Sums
from darkmatter.storage.artifacts import read_arrays
from darkmatter.storage.packed_sums import gather, select


def stored(measured: Path, params: Params) -> dict[str, np.ndarray]:
    """Content of STORED.

    Args:
        measured: SAE → folder that `compute.measure` left.
    """
    return gather({sae.name: read_arrays(measured / sae.name / SUMS) for sae in params.ground_truth.saes})


def results_of(arrays: Sums, params: Params) -> dict[str, Any]:
    """The results file.

    Args:
        arrays: content of STORED.
    """
    own = params.ground_truth
    each = {sae.name: select(arrays, sae.name) for sae in own.saes}
    result = {"world": own.world.model_dump(), "context_rows": own.context_rows, "cosine": own.cosine}
    return result | {
        "saes": [sae_row(sae, each[sae.name], params) for sae in own.saes],
        "estimands": estimands(each, params),
    }


def sae_row(sae: SyntheticSae, arrays: Sums, params: Params) -> dict[str, Any]:
    """One SAE: what it is, and its numbers."""
    own = params.ground_truth
    sums = SaeSums.of(arrays, params.decomposition.bootstrap.model_dump())
    products, gain = sums.products(OWN, own.cosine), sums.gain(own.cosine)
    fired, latents = arrays["latent_fired"].tolist()
    return sae.model_dump() | {
        "expansion": sae.d_sae / own.world.d_model,
        "dead_latents": int(latents - fired),
        "mean_cosine": float(arrays["cosine"][arrays["cosine"] > 0].mean()),
        "fvu": sums.estimate(products.fvu()),
        "fvu_nonlinear": sums.estimate(products.fvu_nonlinear()),
        "by_cosine": [
            {"cosine": cosine, "known": int(arrays[f"known/{cosine:g}"]), "parts": sums.parts(cosine)}
            for cosine in own.cosines
        ],
        "codes": {encoder: sums.codes(encoder) for encoder in ENCODERS},
        "pursuit": {
            "gain": sums.estimate(gain.of_error()),
            "of_error": {part: sums.estimate(gain.of_error(part)) for part in PARTS},
            "of_gain": {part: sums.estimate(gain.share(part)) for part in PARTS},
        },
    }


def derive(sums: Mapping[str, Sums], committed: dict[str, Any], params: Params) -> dict[str, Any]:
    """The results file again (`Record.derive`), from STORED."""
    return results_of(sums[STORED], params)
