"""Encode activations once with an SAE and keep what fired: index and value of each active latent.

Whatever the SAE's architecture, `sae.encode` gives its activations, so every option of sae-lens is honoured
(thresholds, input bias, normalisation, flattened heads). Before anything is kept, the SAE must look like what
it claims to be: sae-lens has loaded TopK as ReLU and dropped biases in silence (issues #553, #354).
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from darkmatter.models.outliers import kept_of, row_norms
from darkmatter.saes.decoder import Decoder
from darkmatter.saes.l0 import AIMED_AT, around
from darkmatter.saes.protocol import Codes, Part, Rows
from darkmatter.storage.artifacts import ArtifactError

if TYPE_CHECKING:  # sae-lens takes 6–13 s to import: only a process that encodes pays for it
    from sae_lens import SAE

DENSE_ELEMENTS = 1 << 22  # dense activations of a block: 16 MB, which stay in cache between the passes over them
SAMPLE_ROWS = 4096
DECODE_TOLERANCE = 1e-4

Active = tuple[np.ndarray, np.ndarray, np.ndarray]  # latents and values of all codes row after row, number in each row


def encode_rows(sae: "SAE", rows: Rows, where: str, width: int | None = None) -> Codes:
    """The codes of some rows; width: the largest l0."""
    return packed([encode_block(sae, block, where) for block in blocks(rows, sae.cfg.d_sae)], width)


def packed(parts: Sequence[Active], width: int | None = None) -> Codes:
    """The codes of blocks of rows, one after the other."""
    l0 = np.concatenate([counts for _, _, counts in parts])
    filled = np.arange(int(l0.max(initial=0)) if width is None else width) < l0[:, None]
    index, value = np.zeros(filled.shape, dtype=np.int32), np.zeros(filled.shape, dtype=np.float32)
    index[filled] = np.concatenate([latents for latents, _, _ in parts])
    value[filled] = np.concatenate([values for _, values, _ in parts])
    return Codes(index, value, l0)


def blocks(rows: Rows, d_sae: int) -> list[Part]:
    size = max(1, DENSE_ELEMENTS // d_sae)
    return [rows[start : start + size] for start in range(0, len(rows), size)]


def load_sae(
    folder: Path,
    architecture: str,
    d_sae: int,
    d_model: int,
    changed: Mapping[str, Any] | None = None,
    kind: "type[SAE] | None" = None,
) -> "SAE":
    """Load with sae-lens, in float32 whatever the file's dtype, and hold the result against what was asked for.

    Args:
        changed: keys of cfg.json that are to be read otherwise.
        kind: sae-lens's class for training; None: the one for inference.

    Raises:
        ArtifactError: sae-lens cannot load it, or it is another SAE than was asked for.
    """
    from sae_lens import SAE
    from sae_lens.loading.pretrained_sae_loaders import sae_lens_disk_loader

    def read(path: Path, device: str, cfg_overrides: Mapping[str, Any] | None) -> tuple[dict, dict]:
        return sae_lens_disk_loader(path, device, {**(cfg_overrides or {}), **(changed or {})})

    try:
        sae = (kind or SAE).load_from_disk(folder, dtype="float32", converter=read)
    except Exception as error:
        raise ArtifactError(f"{folder}: sae-lens cannot load it ({type(error).__name__}: {error})") from error
    return check_loaded(sae, folder, architecture, d_sae, d_model)


def check_loaded(sae: "SAE", folder: Path, architecture: str, d_sae: int, d_model: int) -> "SAE":
    result = sae.cfg.architecture()
    if result != architecture:
        raise ArtifactError(f"{folder}: loaded as {result}, expected {architecture}; its codes would be others")
    if (sae.cfg.d_in, sae.cfg.d_sae) != (d_model, d_sae):
        raise ArtifactError(
            f"{folder}: d_in {sae.cfg.d_in} and d_sae {sae.cfg.d_sae}, but the activations have d_model {d_model} "
            f"and the parameters say d_sae {d_sae}"
        )
    for name, weight in sae.state_dict().items():
        if not weight.isfinite().all():
            raise ArtifactError(f"{folder}: {name} holds NaN or infinity. Restore it with `dvc checkout`.")
    sae.turn_off_forward_pass_hook_z_reshaping()  # rows are flat here; otherwise heads are mixed up in silence
    return sae.eval()


@torch.no_grad()
def encode_block(sae: "SAE", rows: Part, where: str) -> Active:
    return active(sae.encode(torch.from_numpy(np.array(rows))), where)  # a copy: the map is read-only


def active(dense: Float[Tensor, "row d_sae"], where: str) -> Active:
    """What is not zero of the activations of a block of rows.

    Raises:
        ArtifactError: NaN or infinity.
    """
    acts = dense.numpy()
    flat = np.flatnonzero(acts)
    row, latent = np.divmod(flat, acts.shape[1])
    values = acts.reshape(-1)[flat]
    if not np.isfinite(values).all():
        raise ArtifactError(f"{where}: encoding gives NaN or infinity; the activations or the weights are damaged")
    return latent.astype(np.int32), values, np.bincount(row, minlength=len(acts)).astype(np.int32)


@torch.no_grad()
def check_on_sample(
    sae: "SAE", decoder: Decoder, rows: Rows, k: int, where: str, outlier_norm_ratio: float | None = None
) -> None:
    """Refuse an SAE whose codes do not rebuild its output, or whose L0 or FVU contradict its description.

    The sample is spread evenly over all rows, without those above so many of its median norms.
    """
    sample = np.asarray(rows[np.linspace(0, len(rows) - 1, min(SAMPLE_ROWS, len(rows))).astype(int)])
    if outlier_norm_ratio is not None:
        sample = sample[kept_of(row_norms(sample), outlier_norm_ratio)]
    gap = norm = error = 0.0
    firings = 0
    for block in blocks(sample, sae.cfg.d_sae):
        x = torch.from_numpy(np.asarray(block))
        acts = sae.encode(x)
        output = sae.decode(acts)
        width = max(1, int(acts.count_nonzero(dim=1).max()))
        top = acts.abs().topk(width, dim=1).indices
        rebuilt = decoder.sum_of(top, acts.gather(1, top))
        gap += (rebuilt - output).square().sum(dtype=torch.float64).item()
        norm += output.square().sum(dtype=torch.float64).item()
        error += (x - output).square().sum(dtype=torch.float64).item()
        firings += int(acts.count_nonzero())
    if gap > DECODE_TOLERANCE**2 * norm:
        raise ArtifactError(
            f"{where}: Σ value · W_dec + b_dec differs from sae.decode by {(gap / norm) ** 0.5:.1e} of its norm: the "
            "decoder is not linear in the codes (layer-norm or per-row normalisation), so they cannot stand for the SAE"
        )
    l0 = firings / len(sample)
    low, high = around(k, AIMED_AT)
    if not low <= l0 <= (k if sae.cfg.architecture() == "topk" else high):
        raise ArtifactError(f"{where}: measured L0 {l0:.1f} contradicts k = {k}. Was another SAE loaded?")
    fvu = error / float(np.square(sample - sample.mean(0, dtype=np.float64)).sum())
    if not fvu < 1:
        raise ArtifactError(
            f"{where}: FVU {fvu:.3g} on these activations, worse than their mean. It was trained on others (another "
            "hookpoint, model or scale), or for far too few steps."
        )
