"""Results of the linear_rank stage: invented sums of squares per context, the real estimates."""

from typing import Any

import numpy as np

from darkmatter.experiments.linear_rank.choices import measured, spliced
from darkmatter.experiments.linear_rank.ranks import RANK, spliced_ranks, stored_ranks
from darkmatter.experiments.linear_rank.results import results_of, stored
from darkmatter.params.schema import Params
from darkmatter.regression.splits import SPLITS

D_MODEL, CONTEXTS, TOKENS = 96, 16, 40
Arrays = dict[str, np.ndarray]


def flat(path: str) -> np.ndarray:
    """Variances of LinearError by direction: all alike."""
    return np.ones(D_MODEL)


def rows_of_sets() -> np.ndarray:
    """[row set, context]: every other context is held out of the context split."""
    token = np.full(CONTEXTS, TOKENS // 2)
    context = np.where(np.arange(CONTEXTS) % 2 == 0, TOKENS, 0)
    return np.stack([token, context, np.full(CONTEXTS, TOKENS)]).astype(float)


def sae_sums(variances: np.ndarray, l0: float, within: float, random: np.random.Generator) -> Arrays:
    """Sums of one SAE as `compute.measure` leaves them; the nonlinear part has as much variance as the linear one."""
    d_model = len(variances)
    ranks = stored_ranks(d_model)
    sums: dict[str, Any] = {"ranks": ranks, "l0": l0, "dense": 2}
    for split, rows in zip(SPLITS, rows_of_sets(), strict=False):
        squares = rows[:, None] * variances * random.gamma(20, 1 / 20, size=(CONTEXTS, d_model))
        up_to = np.concatenate([np.zeros((CONTEXTS, 1)), squares.cumsum(1)], 1)
        rest = rows[:, None] * variances.sum()
        sums |= {f"{split}/linear": up_to[:, ranks], f"{split}/left": (rest + up_to[:, -1:] - up_to)[:, ranks]}
        sums |= {f"{split}/in_components": within * up_to[:, -1], f"{split}/in_dense": 0.01 * up_to[:, -1]}
        sums[f"{split}/rank"] = d_model
    for name, dimensions in {"components": RANK, "dense": 2, "others": 2}.items():
        sums |= {f"cosines/{name}": np.linspace(0.9, 0.1, dimensions), f"dimensions/{name}": dimensions}
    return {name: np.asarray(value, dtype=np.float64) for name, value in sums.items()}


def fake_sums(
    params: Params, spectrum: Any = flat, recovered: float = 0.3, within: float = 0.2
) -> tuple[Arrays, dict[str, Arrays], Arrays]:
    """(content of STORED, sums of x by hookpoint, sums of section 5.3).

    Args:
        spectrum: HOOKPOINT/NAME → variances of LinearError by direction, the strongest first.
        recovered: share of what LinearError wins back of the cross-entropy that RANK of its directions win back.
        within: share of LinearError in the first components of x.
    """
    random = np.random.default_rng(0)
    saes = {spec.path: sae_sums(spectrum(spec.path), float(spec.k or 4), within, random) for spec in measured(params)}
    rows = rows_of_sets()
    d_model = len(spectrum(measured(params)[0].path))
    one = {"rows": rows, "square": 10 * d_model * rows, "cross": np.zeros((3, CONTEXTS, CONTEXTS))}
    shared = {spec.hookpoint: one for spec in measured(params)}
    count = params.downstream.contexts
    clean = 100 + random.random(count)
    downstream = {"contexts": np.arange(count), "ce/clean": clean}
    splices: Arrays = {"rows": np.full(count, float(TOKENS))}
    for sae in spliced(params):
        cost = 20 + random.random(count)
        downstream |= {f"{sae}/ce/sae": clean + cost, f"{sae}/ce/linear": clean + 0.4 * cost}
        for rank in spliced_ranks(d_model):
            share = min(recovered * (rank / RANK) ** 0.5, 1) + 0.02 * random.standard_normal(count)
            splices[f"{sae}/ce/{rank}"] = clean + cost * (1 - 0.6 * share)
    per_context = [{name: np.asarray(array[place]) for name, array in splices.items()} for place in range(count)]
    return stored(saes, per_context), shared, downstream


def fake(params: Params) -> dict[str, Any]:
    return results_of(*fake_sums(params), params)
