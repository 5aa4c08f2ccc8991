"""Results of the synthetic_noise stage in the format of its JSON: invented sums of squares, the real estimates."""

from typing import Any

import numpy as np

from darkmatter.experiments.synthetic_noise_estimates import VARIANTS
from darkmatter.experiments.synthetic_noise_results import results_of, stored
from darkmatter.params import Params

D_MODEL, ROWS, UNIT = 24, 1000, 2.0
SPREAD = 20 * ROWS * D_MODEL * UNIT**2  # the real SAE's error is a twentieth of the variance


def fake_sums(deviations: list[float], shares: list[float], seed: int) -> dict[str, np.ndarray]:
    """Linear maps find nine tenths of the planted Dense, half of what is ablated and nothing of Introduced."""
    random = np.random.default_rng(seed)
    jitter = 1 + 0.002 * random.standard_normal((len(VARIANTS), len(deviations), len(shares), 3))
    on_x = (UNIT * np.array(deviations))[None, :, None] ** 2 * ROWS * D_MODEL
    ablated = 0.02 * SPREAD * (1 + 8 * np.array(shares)[None, None, :] ** 2)
    planted = np.full_like(jitter[..., 0], ROWS * D_MODEL)
    shape = planted.shape
    error = np.stack([np.broadcast_to(ablated + on_x, shape), np.zeros(shape), planted], -1)
    left = np.stack([np.broadcast_to(0.5 * ablated + 0.1 * on_x, shape), np.zeros(shape), 0.98 * planted], -1)
    spread = np.broadcast_to(SPREAD + on_x[..., 0], shape[:2])
    return {
        "rows": np.full(len(VARIANTS), float(ROWS)),
        "rank": np.full(shape[:2], float(D_MODEL)),
        "spread": spread,
        "spread_scalar_mean": 1.2 * spread,
        "error": error * jitter,
        "left": left * jitter,
        "vector_r2": np.full((*shape[:2], len(deviations), len(shares)), 0.6),
    }


def fake_stored(params: Params) -> dict[str, np.ndarray]:
    section = params.synthetic_noise
    sums = [fake_sums(section.noise_deviations, section.ablated_shares, seed) for seed in section.seeds]
    d_sae = params.sae_spec(f"{params.figures.main_hookpoint}/{section.sae}").d_sae
    facts = {"unit": UNIT, "d_sae": d_sae, "d_model": D_MODEL, "contexts": section.contexts, "silent_latents": 2}
    facts |= {"ablated": [int(share * d_sae) for share in section.ablated_shares]}
    facts |= {"activity_ablated": [share**3 for share in section.ablated_shares]}
    return stored(sums, facts, 250)


def fake(params: Params) -> dict[str, Any]:
    return results_of(fake_stored(params), params)
