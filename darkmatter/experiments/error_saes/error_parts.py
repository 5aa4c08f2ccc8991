"""One part of an SAE's error as activations of its own, to train SAEs on (section 5.2).

b* (Eq. 11) is fitted on the contexts that the new SAEs train on and applied to them and to the `eval` documents:

    LinearError(x) = b*·x + b_0,    NonlinearError(x) = SaeError(x) − LinearError(x),    SaeError(x) = x − Sae(x).

Three passes over the training contexts, of which the first encodes; the error waits for its map in the file of the
part, which then takes its place. At the paper's scale a part fills 12 GB, so there is only one at a time.
"""

from pathlib import Path

import numpy as np
import torch
from jaxtyping import Bool, Float
from torch import Tensor

from darkmatter.decomposition.shared_moments import Prepared, shift
from darkmatter.models.activation_files import (
    Activations,
    create_activations,
    open_activations,
    readable,
    rows_of,
    stored,
)
from darkmatter.models.outliers import kept_rows
from darkmatter.regression.least_squares import LinearMap, factorise, fit
from darkmatter.regression.moments import Blocks, CrossMomentsFitter
from darkmatter.saes.open import open_sae
from darkmatter.saes.protocol import Sae
from darkmatter.storage.artifacts import ArtifactError, write_arrays

KEPT = "kept.npy"  # bool [context, position], eval rows that are no outliers
MAP = "map.npz"  # weight [d_model, d_model], intercept, x_shift [d_model], facts: rows, rank, condition number


def write_part(
    out: Path,
    part: str,
    train: str,
    held_out: str,
    contexts: int,
    sae: str,
    architecture: str,
    d_sae: int,
    k: int | None,
    cutoff: float,
    outlier_norm_ratio: float | None = None,
    device: str = "cpu",
) -> None:
    """Write `out`/{train,eval}-PART.npy, [context, position, d_model], MAP and KEPT.

    The files are in the number type of the activations; of bfloat16 the error is rounded before it waits for its map.

    Args:
        part: `linear` or `nonlinear`.
        train, held_out: .npy, float32 [context, position, d_model]; of `train` the first `contexts` contexts.
        sae: folder of the SAE whose error it is.
        cutoff: relative eigenvalue below which a direction of the activations is not fitted.
        outlier_norm_ratio: as in `outliers.kept_rows`; b* is fitted on the rows kept.
        device: where a published SAE encodes.

    Raises:
        ArtifactError: too few contexts or rows, NaN, or an SAE that does not fit the activations.
    """
    x_train = open_activations(Path(train))
    x_eval = open_activations(Path(held_out), (None, None, x_train.shape[2]))
    if len(x_train) < contexts:
        raise ArtifactError(
            f"{train} holds {len(x_train)} contexts, error_saes.train_contexts asks for {contexts}. Lower it, or raise "
            "hookpoints.*.train_contexts."
        )
    x_train = x_train[:contexts]
    opened = open_sae(Path(sae), architecture, d_sae, k, rows_of(x_eval), device, outlier_norm_ratio)
    np.save(out / KEPT, kept_rows(Path(held_out), outlier_norm_ratio))

    waiting = create_activations(out / f"train-{part}.npy", x_train)
    kept = kept_rows(Path(train), outlier_norm_ratio)[:contexts]
    linear_map, prepared = fit_map(x_train, kept, opened, sae, cutoff, waiting)
    for context, x in enumerate(x_train):
        e = torch.from_numpy(np.array(readable(waiting)[context]))
        waiting[context] = stored(part_of(e, x, part, linear_map, prepared), waiting)
    split = create_activations(out / f"eval-{part}.npy", x_eval)
    for context, x in enumerate(x_eval):
        split[context] = stored(part_of(error(opened, x, sae), x, part, linear_map, prepared), split)
    waiting.flush(), split.flush()
    facts = np.array([linear_map.rows, linear_map.rank, prepared.factors["all"].condition_number])
    arrays = {"weight": linear_map.weight.numpy(), "intercept": linear_map.intercept.numpy(), "facts": facts}
    write_arrays(out / MAP, arrays | {"x_shift": prepared.x_shift.numpy()})


def fit_map(
    x: Activations,
    kept: Bool[np.ndarray, "context position"],
    sae: Sae,
    where: str,
    cutoff: float,
    errors: np.ndarray,
) -> tuple[LinearMap, Prepared]:
    """b* over the kept rows, and what it was fitted with; leaves SaeError in `errors`."""
    contexts, _, d_model = x.shape
    everything = Blocks((~kept).astype(np.int64), {"all": np.array([0])})
    x_shift = torch.from_numpy(x[0][kept[0]].mean(0)).double()
    shared = CrossMomentsFitter(everything, d_model, d_model)
    for context in range(contexts):
        errors[context] = stored(error(sae, x[context], where).numpy(), errors)
        shifted = shift(x[context], x_shift)
        shared.update(context, shifted, shifted)
    prepared = Prepared(x_shift, {"all": factorise(shared.fit_set("all"), cutoff)}, kept)
    waiting = readable(errors)
    e_shift = torch.from_numpy(waiting[0][kept[0]].mean(0))
    cross = CrossMomentsFitter(everything, d_model, d_model, prepared.products)
    for context in range(contexts):
        e = torch.from_numpy(waiting[context])
        cross.update(context, shift(x[context], x_shift), e - e_shift)
    return fit(prepared.factors["all"], cross.fit_set("all"), x_shift, e_shift.double()), prepared


def error(sae: Sae, x: np.ndarray, where: str) -> Float[Tensor, "position d_model"]:
    """SaeError of one context, float32, from codes, as everywhere.

    Raises:
        ArtifactError: a value is NaN or infinite.
    """
    e = torch.from_numpy(np.array(x)) - torch.from_numpy(sae.rebuild(x)[1])
    if not e.isfinite().all():
        raise ArtifactError(f"{where}: an error is NaN or infinite; run `dvc repro -f activations`")
    return e


def part_of(
    e: Float[Tensor, "position d_model"], x: np.ndarray, part: str, linear_map: LinearMap, prepared: Prepared
) -> Float[np.ndarray, "position d_model"]:
    """LinearError or NonlinearError of one context, float32."""
    dtype = prepared.products
    shifted = torch.from_numpy(np.array(x)).to(dtype) - prepared.x_shift.to(dtype)
    linear = shifted @ linear_map.weight.to(dtype) + linear_map.intercept.to(dtype)
    return (linear if part == "linear" else e - linear).float().numpy()
