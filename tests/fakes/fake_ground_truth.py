"""Results of the ground_truth stage: products of drawn vectors in a world with given numbers, the real estimates.

The picture of the predictions: x = T + a + δ of independent isotropic Gaussians, of unit variance together, of which a
has the share α and δ the share s. Introduced is −h·a + m·T + g·noise. A linear map of x then finds α of a, s of δ, and
of Introduced what follows from both.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np

from darkmatter.experiments.ground_truth.names import ENCODERS, OWN, PURSUIT, VECTORS
from darkmatter.experiments.ground_truth.params import SyntheticSae
from darkmatter.experiments.ground_truth.results import results_of
from darkmatter.params.schema import Params
from darkmatter.storage.packed_sums import gather

CONTEXTS, ROWS, D_MODEL, DENSE = 16, 100, 20, 0.05
Arrays = dict[str, np.ndarray]
World = Mapping[str, tuple[float, float]]

# of the narrowest and of the widest SAE; `bend` is the share of `a` that is linear beside α
WORLD: dict[str, tuple[float, float]] = {
    "absent": (0.55, 0.1),
    "stand_in": (0.35, 0.1),
    "missed": (0.1, 0.1),
    "noise": (0.19, 0.124),  # its variance
    "bend": (0.0, 0.0),
}
PURSUED: dict[str, tuple[float, float]] = {"stand_in": (0.55, 0.1), "missed": (0.1, 0.05), "noise": (0.17, 0.074)}


def vectors(numbers: Mapping[str, float], random: np.random.Generator) -> np.ndarray:
    """`names.VECTORS` of some rows, [vector, context, row, d_model]."""
    alpha, own = numbers["absent"], 1 - DENSE - numbers["absent"]
    drawn = random.standard_normal((4, CONTEXTS, ROWS, D_MODEL))
    true, absent, dense = (np.sqrt(share) * part for share, part in zip((own, alpha, DENSE), drawn, strict=False))
    x = true + absent + dense
    noise = np.sqrt(numbers["noise"]) * drawn[3]
    introduced = numbers["missed"] * true - numbers["stand_in"] * absent + noise
    of_introduced = (numbers["missed"] * own - numbers["stand_in"] * alpha) * x
    of_absent = numbers["bend"] * absent + (1 - numbers["bend"]) * alpha * x
    return np.stack([x, absent, dense, introduced, of_absent, DENSE * x, of_introduced])


def products(numbers: Mapping[str, float], seed: int) -> np.ndarray:
    """As `compute.triangle`; the same seed gives the same x, absent features and Dense."""
    drawn = vectors(numbers, np.random.default_rng(seed)).reshape(len(VECTORS), CONTEXTS, -1)
    above = np.triu_indices(len(VECTORS))
    return np.einsum("ucp,vcp->cuv", drawn, drawn)[:, above[0], above[1]]


def sae_sums(sae: SyntheticSae, number: int, params: Params, world: World, pursued: World) -> Arrays:
    own = params.ground_truth
    place = own.widths.index(sae.d_sae) / (len(own.widths) - 1)

    def at(ends: World) -> dict[str, float]:
        return {name: (1 - place) * narrow + place * wide for name, (narrow, wide) in ends.items()}

    numbers = {OWN: at(world), PURSUIT: at(world) | at(pursued)}
    rows = np.full(CONTEXTS, float(ROWS))
    sums: Arrays = {"rows": rows, "rank": np.array(D_MODEL), "latent_fired": np.array([sae.d_sae - 1, sae.d_sae])}
    sums["cosine"] = np.linspace(0.2, 1, own.world.features)
    for cosine in own.cosines:
        sums[f"products/{OWN}/{cosine:g}"] = products(numbers[OWN], number)
        sums[f"known/{cosine:g}"] = np.array(round((1 - cosine) * own.world.features))
    sums[f"products/{PURSUIT}/{own.cosine:g}"] = products(numbers[PURSUIT], number)
    for encoder in ENCODERS:
        columns = {"latents": 8.0, "features": 7.5, "found": 4.0, "square": 5.0, "error": 1.0}
        sums |= {f"codes/{encoder}/{name}": level * rows for name, level in columns.items()}
    return sums


def fake_sums(params: Params, world: World = WORLD, pursued: World = PURSUED) -> Arrays:
    """Content of STORED."""
    saes = params.ground_truth.saes
    return gather({sae.name: sae_sums(sae, number, params, world, pursued) for number, sae in enumerate(saes)})


def fake(params: Params) -> dict[str, Any]:
    return results_of(fake_sums(params), params)
