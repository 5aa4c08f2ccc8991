"""Results of the synthetic_noise stage in the format of its JSON: invented sums of squares, the real estimates."""

from typing import Any

import numpy as np

from darkmatter.experiments.synthetic_noise.cells import VARIANTS
from darkmatter.experiments.synthetic_noise.results import FURTHER_VARIANTS, results_of, saes_of, stored
from darkmatter.params.schema import Params

D_MODEL, ROWS, UNIT = 24, 1000, 2.0
SPREAD = 20 * ROWS * D_MODEL * UNIT**2  # the real SAE's error is a twentieth of the variance


def fake_sums(
    deviations: list[float], shares: list[float], seed: list[int], variants=VARIANTS
) -> dict[str, np.ndarray]:
    """Linear maps find nine tenths of the planted Dense, half of what is ablated and nothing of Introduced."""
    random = np.random.default_rng(seed)
    jitter = 1 + 0.002 * random.standard_normal((len(variants), len(deviations), len(shares), 3))
    on_x = (UNIT * np.array(deviations))[None, :, None] ** 2 * ROWS * D_MODEL
    ablated = 0.02 * SPREAD * (1 + 8 * np.array(shares)[None, None, :] ** 2)
    planted = np.full_like(jitter[..., 0], ROWS * D_MODEL)
    shape = planted.shape
    error = np.stack([np.broadcast_to(ablated + on_x, shape), np.zeros(shape), planted], -1)
    left = np.stack([np.broadcast_to(0.5 * ablated + 0.1 * on_x, shape), np.zeros(shape), 0.98 * planted], -1)
    spread = np.broadcast_to(SPREAD + on_x[..., 0], shape[:2])
    return {
        "rows": np.full(len(variants), float(ROWS)),
        "rank": np.full(shape[:2], float(D_MODEL)),
        "spread": spread,
        "spread_scalar_mean": 1.2 * spread,
        "error": error * jitter,
        "left": left * jitter,
        "dense_recovered": np.full(shape[:2], 0.95),
        "introduced": np.broadcast_to(ablated[:, 0], (shape[0], shape[2])) / (1 + 8 * np.array(shares) ** 2),
        "vector_r2": np.full((*shape[:2], len(deviations), len(shares)), 0.6),
    }


def fake_stored(params: Params) -> dict[str, np.ndarray]:
    section = params.synthetic_noise
    by_sae = {}
    for number, spec in enumerate(saes_of(params)):
        whole = spec.name == section.sae
        shares = section.ablated_shares if whole else [section.ablated_shares[0], section.ablated_shares[-1]]
        facts = {"unit": UNIT, "d_sae": spec.d_sae, "d_model": D_MODEL, "silent_latents": 2}
        facts |= {"ablated": [int(share * spec.d_sae) for share in shares]}
        facts |= {"activity_ablated": [share**3 for share in shares]}
        variants = VARIANTS if whole else FURTHER_VARIANTS
        draws = [fake_sums(section.noise_deviations, shares, [seed, number], variants) for seed in section.seeds]
        by_sae[spec.name] = [(sums, facts) for sums in draws]
    return stored(by_sae)


def fake(params: Params) -> dict[str, Any]:
    return results_of(fake_stored(params), params)
