"""Results of the stage architectures: invented sums per context of SAEs on given curves over L0, the real estimates."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from darkmatter.experiments.architectures.matched import RANK
from darkmatter.experiments.architectures.names import ComparedSae, trained
from darkmatter.experiments.architectures.results import results_of
from darkmatter.params.schema import Params
from darkmatter.regression.splits import SPLITS
from darkmatter.storage.packed_sums import gather

CONTEXTS, TOKENS, DIMENSIONS, VARIANCE = 16, 40, 12, 5.0
Arrays = dict[str, np.ndarray]

# FVU and FVU_nonlinear at the L0 that is compared, as the predictions have it; SLOPES: by e-fold of L0.
WORLD: dict[str, tuple[float, float]] = {
    "topk": (0.25, 0.12),
    "standard": (0.33, 0.13),
    "gated": (0.26, 0.122),
    "abstopk": (0.25, 0.122),
    "jumprelu": (0.26, 0.12),
    "batchtopk": (0.24, 0.118),
    "matryoshka_batchtopk": (0.28, 0.125),
    "matching_pursuit": (0.23, 0.125),
    "skip_8": (0.22, 0.11),
    "skip_64": (0.16, 0.084),
}
SLOPES = (-0.06, -0.01)


def rows_of_sets() -> np.ndarray:
    """[row set, context]: every other context is held out of the context split."""
    token = np.full(CONTEXTS, TOKENS // 2)
    context = np.where(np.arange(CONTEXTS) % 2 == 0, TOKENS, 0)
    return np.stack([token, context, np.full(CONTEXTS, TOKENS)]).astype(float)


def sae_sums(sae: ComparedSae, l0: float, at: int, of: tuple[float, float], noise: np.ndarray) -> Arrays:
    """The sums of one SAE, as `compute.measure` leaves them.

    Args:
        at: the L0 at which its architecture has the FVU and FVU_nonlinear `of`.
        noise: of each context, the same for all SAEs.
    """
    steps = np.log(l0 / at)
    fvu, nonlinear = (value + slope * steps + 0.001 * sae.seed for value, slope in zip(of, SLOPES, strict=True))
    arrays: Arrays = {}
    for place, split in enumerate(SPLITS):
        rows = rows_of_sets()[place]
        used = rows > 0
        each = (rows * DIMENSIONS * VARIANCE * noise / noise[used].mean())[used]
        arrays |= {
            f"{split}/error": fvu * each,
            f"{split}/nonlinear": nonlinear * each,
            f"{split}/l0": (l0 * rows)[used],
        }
        above = each / each.sum() * nonlinear / fvu
        below = above * noise[::-1][: len(above)]
        arrays[f"{split}/unexplained"] = np.stack([above, below * above.sum() / below.sum()])
    steered = sae.variant in ("standard", "gated")
    arrays |= {"mean_l0": np.array(l0), "latent_fired": np.array([sae.d_sae - 4, sae.d_sae])}
    return arrays | {"l1_coefficient": np.array(3.0 if steered else np.nan)}


def fake_sums(params: Params, l0_of: Mapping[str, float] | None = None, **changed: tuple[float, float]) -> Arrays:
    """Content of STORED.

    Args:
        l0_of: variant → its L0 over k, 1 where it is not named.
        changed: variant → its FVU and FVU_nonlinear where they are others than in WORLD.
    """
    own = params.architectures
    random = np.random.default_rng(0)
    noise = random.gamma(400, 1 / 400, size=CONTEXTS)
    rows = rows_of_sets()
    shared = {"rows": rows, "square": rows * DIMENSIONS * VARIANCE, "cross": np.zeros((len(rows), CONTEXTS, CONTEXTS))}
    shared |= {f"{RANK}/{split}": np.array(DIMENSIONS) for split in SPLITS}
    world = {**WORLD, **changed}
    saes = trained(own) if own.classes else []
    l0s = {sae.name: sae.k * (l0_of or {}).get(sae.variant, 1.0) for sae in saes}
    made = {sae.name: sae_sums(sae, l0s[sae.name], own.l0, world[sae.variant], noise) for sae in saes}
    return shared | gather(made)


def fake(params: Params) -> dict[str, Any]:
    return results_of(fake_sums(params), params)
