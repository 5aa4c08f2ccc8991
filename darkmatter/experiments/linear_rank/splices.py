"""Cross-entropy with Sae(x) + LinearError of a rank in place of x.

It joins what `experiments.downstream` has of the same contexts and SAEs: the cross-entropy of x itself, of Sae(x), and
of Sae(x) + LinearError. LinearError is that of the context split's map, and the contexts are held out of it.
"""

from pathlib import Path
from typing import Any

import numpy as np
import torch

from darkmatter.decomposition.shared_moments import FILE
from darkmatter.experiments.downstream.compute import SUMS, open_once, residual_gap, split_context
from darkmatter.experiments.linear_rank.directions import Directions
from darkmatter.models.activation_files import open_activations
from darkmatter.models.device import usable
from darkmatter.models.extract import load_once
from darkmatter.models.splice import residual_at, spliced, spliced_loss
from darkmatter.storage.artifacts import ArtifactError, open_array, read_arrays, write_arrays


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
    language_model = load_once(Path(model), place)
    texts = open_array(Path(tokens), (None, None), "int32")
    ids = torch.from_numpy(texts[context : context + 1].astype(np.int64)).to(place)
    residual = residual_at(language_model, ids, hookpoint)
    stored = torch.from_numpy(np.array(open_activations(Path(activations))[context])).to(place)
    residual_gap(residual[0, first_position:-1], stored, f"{activations}, context {context}")
    kept = torch.from_numpy(read_arrays(Path(prepared) / FILE)["kept"][context]).to(place)
    sums: dict[str, Any] = {"rows": np.array(float(kept.sum()))}
    for entry in saes:
        sample = open_once(activations, prepared, entry["codes"], entry["sae"], fit_share, folds, split_seed)
        for rank in ranks:
            parts = split_context(sample, context, truncated(Path(entry["directions"]), rank), place)
            rows = torch.where(kept[:, None], parts["sae"] + parts["linear"], parts["x"])
            loss = spliced_loss(
                language_model, ids, hookpoint, spliced(residual, rows[None], first_position), first_position
            )
            if not loss.isfinite().all():
                raise ArtifactError(
                    f"context {context}, {entry['name']}, rank {rank}: the model returned NaN or infinity"
                )
            sums[f"{entry['name']}/ce/{rank}"] = loss.flatten()[kept].sum(dtype=torch.float64).cpu().numpy()
    write_arrays(out / SUMS, sums)


def truncated(directions: Path, rank: int) -> dict[str, np.ndarray]:
    """The map of a rank, as `downstream.compute.split_context` takes it."""
    fitted = Directions(**{name: torch.from_numpy(part) for name, part in read_arrays(directions).items()})
    weight, intercept = fitted.truncated(rank)
    return {"weight": weight.numpy(), "intercept": intercept.numpy()}
