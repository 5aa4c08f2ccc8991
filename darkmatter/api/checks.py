"""What is refused before anything expensive: too little data, another d_model, an SAE that explains nothing here."""

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from jaxtyping import Bool, Float
from torch import Tensor

from darkmatter.api.coders import as_sae, linear_decoder, skip_of
from darkmatter.params.decomposition import Decomposition
from darkmatter.regression.splits import Splits, draw_splits
from darkmatter.saes.codes import DECODE_TOLERANCE, SAMPLE_ROWS, blocks
from darkmatter.saes.decoder import Decoder
from darkmatter.saes.dense import DenseSae
from darkmatter.saes.protocol import Sae
from darkmatter.saes.published.registry import REFUSED_LOADERS, TRANSCODER
from darkmatter.saes.published.sae_lens_config import BATCH, FACTOR, WHITENING
from darkmatter.saes.published.scalers import MATRICES
from darkmatter.storage.artifacts import ArtifactError

Rows = Float[np.ndarray, "row dim"]

PROBE_ROWS = 2
GIVE_TARGETS = "Give the activations that it predicts, of the same rows: --targets FILE (targets=)"
UNFOLDED = {  # by sae-lens's `normalize_activations`: what its object expects, and how to fold it
    FACTOR: f"activations of mean norm √d_model (normalize_activations: {FACTOR}) and takes raw ones as they are. Fold "
    "the scale into its weights: sae.fold_activation_norm_scaling_factor(d_model**0.5 / mean_norm), with the mean norm "
    "of x in its training",
    WHITENING: f"whitened activations (normalize_activations: {WHITENING}) and takes raw ones as they are. Fold the "
    "whitening into its weights: sae.fold_activation_whitening(mean, matrix, inverse_matrix), with the tensors of "
    f"{MATRICES} of its training",
}


def check_enough(
    contexts: int,
    positions: int,
    d_model: int,
    settings: Decomposition,
    kept: Bool[np.ndarray, "context position"] | None = None,
) -> Splits:
    """The splits of so many rows.

    Args:
        kept: as in `splits.Splits`; None keeps every row.

    Raises:
        ArtifactError: too few contexts for the folds, or fewer rows than a regression on d_model dimensions needs.
    """
    fewest = max(settings.folds, 5)
    if contexts < fewest:
        raise ArtifactError(
            f"{contexts} contexts are too few: {fewest} is the least for {settings.folds} folds and an interval over "
            "contexts; 100 and more are better"
        )
    splits = draw_splits(contexts, positions, settings.fit_share, settings.folds, settings.split_seed, kept)
    rows = {name: int(splits.fits_on(name).sum()) for name in splits.fit_sets}
    smallest = min(rows, key=rows.__getitem__)
    if rows[smallest] <= d_model + 1:
        total = int(splits.kept.sum())
        needed = -(-(d_model + 2) * total // max(rows[smallest], 1))
        raise ArtifactError(
            f"{total:,} rows of {contexts} contexts are too few for d_model = {d_model}: fit set `{smallest}` has "
            f"{rows[smallest]} rows, a regression with intercept needs more than {d_model + 1}. Take at least "
            f"{needed:,} rows; ten times as many to trust what comes out"
        )
    return splits


def check_declared(sae: Any, d_model: int, d_out: int | None = None) -> None:
    """Hold what an SAE says of itself against the activations.

    Args:
        d_out: width of a transcoder's targets; None where there are none.

    Raises:
        ArtifactError: another d_model, a scale of the activations that nobody applied, no SAE of one row by itself, or
            a transcoder without targets.
    """
    config = getattr(sae, "cfg", None)
    d_in = getattr(sae, "d_model", None) or getattr(config, "d_in", None)
    if isinstance(d_in, int) and d_in != d_model:
        raise ArtifactError(f"the SAE has d_model {d_in}, the activations {d_model}: another model or hookpoint")
    normalisation = getattr(config, "normalize_activations", None)
    if isinstance(normalisation, str) and normalisation in UNFOLDED:
        raise ArtifactError(f"the SAE expects {UNFOLDED[normalisation]}")
    architecture = getattr(config, "architecture", None)
    architecture = architecture() if callable(architecture) else architecture
    if architecture in BATCH:
        raise ArtifactError(
            f"the SAE is {architecture} as it is trained: what fires on a row depends on the other rows of its batch. "
            "Save it with sae.save_inference_model(folder), and give load_pretrained(folder).sae"
        )
    if architecture == "temporal":
        raise ArtifactError(f"the SAE is temporal: {REFUSED_LOADERS['temporal']}")
    metadata = getattr(config, "metadata", None)
    place, target = (getattr(metadata, name, None) for name in ("hook_name", "hook_name_out"))
    declared = "transcoder" in str(architecture) or bool(target and target != place)
    if d_out is None and (declared or skip_of(sae) is not None):
        raise ArtifactError(f"the SAE predicts {target or 'another activation'}: {TRANSCODER}. {GIVE_TARGETS}")
    wide = getattr(config, "d_out", None)
    if isinstance(wide, int) and d_out not in (None, wide):
        raise ArtifactError(f"the transcoder has d_out {wide}, the targets {d_out}: another model or hookpoint")


@dataclass(frozen=True)
class Opened:
    """An SAE that has been checked; `skip` is a transcoder's, [d_model, d_out]."""

    sae: Sae | DenseSae
    skip: Tensor | None = None


def checked_sae(sae: Any, sample: Rows, target: Rows, max_fvu: float, declared_d_out: int | None) -> Opened:
    """An SAE as one of the protocol that does on a sample what an SAE of these activations does.

    Args:
        sample: rows spread over the activations.
        target: what it is to make of them; of an SAE the same.
        max_fvu: refuse an FVU on the sample of this or more.
        declared_d_out: as `check_declared` takes it.

    Raises:
        ArtifactError: see `check_declared`, `as_sae`, `check_fvu`; or codes that are not finite.
    """
    d_model, d_out = sample.shape[1], target.shape[1]
    check_declared(sae, d_model, declared_d_out)
    skip = skip_of(sae)
    if skip is not None and skip.shape != (d_model, d_out):
        raise ArtifactError(f"the skip connection is {list(skip.shape)}, needed is {[d_model, d_out]}")
    linear = np.zeros((1, d_out), dtype=np.float32) if skip is None else sample @ skip.numpy()
    result = as_sae(sae, sample[:PROBE_ROWS], d_out)
    if not isinstance(result, DenseSae):
        check_fvu(target, np.asarray(result.decode(result.encode(sample))) + linear, max_fvu)
        return Opened(result, skip)
    decoder = linear_decoder(sae, result.d_sae, d_out)
    outputs, gap = [], 0.0
    for block in blocks(sample, result.d_sae):
        acts, output = result.run(block)
        if not (acts.isfinite().all() and output.isfinite().all()):
            raise ArtifactError("the SAE makes NaN or infinity of finite activations: its weights are damaged")
        outputs.append(output.numpy())
        if decoder is not None:
            gap += squared_gap(acts, output, decoder)
    output = np.concatenate(outputs)
    check_fvu(target, output + linear, max_fvu)
    follows = decoder is not None and gap <= DECODE_TOLERANCE**2 * squares(output)
    return Opened(replace(result, decoder=decoder) if follows else result, skip)


def squared_gap(acts: torch.Tensor, output: torch.Tensor, decoder: Decoder) -> float:
    """Σ ‖what the codes and the decoder rebuild − the SAE's own output‖²."""
    width = max(1, int(acts.count_nonzero(dim=1).max()))
    top = acts.abs().topk(width, dim=1).indices
    return squares((decoder.sum_of(top, acts.gather(1, top)) - output).numpy())


def check_fvu(target: Rows, output: Rows, max_fvu: float) -> None:
    """Refuse a Sae(x) that approximates a sample of rows worse than it must.

    Raises:
        ArtifactError: not finite, or an FVU of `max_fvu` or more, with the norms of both.
    """
    if not np.isfinite(output).all():
        raise ArtifactError("Sae(x) holds NaN or infinity on finite activations")
    variance = squares(target - target.mean(0, dtype=np.float64))
    if variance == 0:
        raise ArtifactError("the activations are the same in every row: there is nothing to explain")
    fvu = squares(target - output) / variance
    if not fvu < max_fvu:
        norms = [(squares(vectors) / len(target)) ** 0.5 for vectors in (target, output)]
        raise ArtifactError(
            f"FVU {fvu:.3g} on {len(target)} rows, the limit is max_fvu = {max_fvu:g}; x has norm {norms[0]:.3g}, "
            f"Sae(x) {norms[1]:.3g}. Was the SAE trained on another model or hookpoint, or on activations scaled in "
            "another way (normalisation)? To go on all the same, raise max_fvu (--max-fvu)"
        )


def squares(values: np.ndarray) -> float:
    return float(np.square(values, dtype=np.float64).sum())


def spread(rows: Float[np.ndarray, "row d_model"], kept: Bool[np.ndarray, " row"]) -> Float[np.ndarray, "kept d_model"]:
    """Rows spread evenly over all that are kept."""
    result = np.flatnonzero(kept)
    return rows[result[np.linspace(0, len(result) - 1, min(SAMPLE_ROWS, len(result))).astype(int)]]
