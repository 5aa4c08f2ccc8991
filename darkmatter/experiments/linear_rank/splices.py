"""Cross-entropy with Sae(x) + LinearError of a rank in place of x.

It joins what `experiments.downstream` has of the same contexts and SAEs: the cross-entropy of x itself, of Sae(x), and
of Sae(x) + LinearError. LinearError is that of the context split's map, and the contexts are held out of it.
"""

from pathlib import Path
from typing import Any

import numpy as np
import torch

from darkmatter.experiments.downstream.compute import SUMS, open_once, split_context
from darkmatter.experiments.downstream.model_pass import ModelPass
from darkmatter.experiments.linear_rank.directions import Directions
from darkmatter.models.device import usable
from darkmatter.storage.artifacts import read_arrays, write_arrays


def splice_ranks(
    out: Path,
    model: str,
    tokens: str,
    hookpoint: str,
    first_position: int,
    context: int,
    activations: str,
    prepared: str,
    saes: list[dict[str, str]],
    ranks: list[int],
    fit_share: float,
    folds: int,
    split_seed: int,
    device: str = "cpu",
) -> None:
    """Write the cross-entropy of one context with each rank (a unit of the stage linear_rank).

    Args:
        model: folder of the model.
        tokens: .npy, int32 [context, context_length].
        context: which context of `tokens` and `activations`.
        prepared: folder written by `shared_moments.prepare` for the activations.
        saes: `name`, and the paths `codes`, `sae` (as `samples.open_sample`) and `directions` (of `compute.measure`).
        device: where the model runs.

    `sums.npz` holds `rows` and, summed over the kept positions but outliers, `NAME/ce/RANK` (nats).

    Raises:
        ArtifactError: the residual is not the stored one, files do not fit together, or a loss is not finite.
    """
    place = usable(device)
    one = ModelPass.of(model, tokens, hookpoint, first_position, context, activations, prepared, place)
    sums: dict[str, Any] = {"rows": np.array(float(one.kept.sum()))}
    for entry in saes:
        sample = open_once(activations, prepared, entry["codes"], entry["sae"], fit_share, folds, split_seed)
        for rank in ranks:
            parts = split_context(sample, context, truncated(Path(entry["directions"]), rank), place)
            rows, name = parts["sae"] + parts["linear"], f"{entry['name']}, rank {rank}"
            sums[f"{entry['name']}/ce/{rank}"] = one.cross_entropy(rows, parts["x"], name)
    write_arrays(out / SUMS, sums)


def truncated(directions: Path, rank: int) -> dict[str, np.ndarray]:
    """The map of a rank, as `downstream.compute.split_context` takes it."""
    fitted = Directions(**{name: torch.from_numpy(part) for name, part in read_arrays(directions).items()})
    weight, intercept = fitted.truncated(rank)
    return {"weight": weight.numpy(), "intercept": intercept.numpy()}
