"""Train an SAE on one part of another SAE's error, and score it on documents that neither has seen (section 5.2)."""

from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Bool

from darkmatter.experiments.error_saes.error_parts import KEPT
from darkmatter.experiments.error_saes.names import SUMS
from darkmatter.models.activation_files import open_activations
from darkmatter.saes.decoder import load_decoder
from darkmatter.saes.open import encode_sae
from darkmatter.saes.protocol import Codes
from darkmatter.saes.training.train import train_sae
from darkmatter.storage.artifacts import open_array, read_arrays, write_arrays


def train_error_sae(
    out: Path,
    parts: str,
    part: str,
    contexts: int,
    hookpoint: str,
    d_sae: int,
    k: int,
    seed: int,
    train_tokens: int,
    training: dict[str, Any],
    outlier_norm_ratio: float | None = None,
    device: str = "cpu",
) -> None:
    """Leave a TopK SAE (sae-lens), training.json, codes.npz of the eval rows and sums.npz in `out` (a unit).

    Args:
        parts: folder written by `error_parts.write_part`.
        part: `linear` or `nonlinear`.
        outlier_norm_ratio: as in `saes.open.open_sae`.
        device: where the SAE trains.

    Raises:
        ParamsError, ArtifactError, FloatingPointError: as `train_sae` and `encode_sae`.
    """
    rows = f"{parts}/train-{part}.npy"
    train_sae(out, rows, contexts, hookpoint, "topk", d_sae, k, seed, train_tokens, training, device)
    held_out = f"{parts}/eval-{part}.npy"
    encode_sae(out, out.as_posix(), held_out, "topk", d_sae, k, outlier_norm_ratio=outlier_norm_ratio)
    kept = open_array(Path(parts) / KEPT, (None, None), "bool")
    silence(out / "codes.npz", kept)
    write_arrays(out / SUMS, score(Path(held_out), out, kept))


def silence(codes: Path, kept: Bool[np.ndarray, "context position"]) -> None:
    """Leave no latent active on an outlier, so that none becomes an example of a latent (Fig. 7)."""
    arrays = read_arrays(codes)
    for array in arrays.values():
        array[~kept.ravel()] = 0
    write_arrays(codes, arrays)


def score(targets: Path, sae: Path, kept: Bool[np.ndarray, "context position"]) -> dict[str, np.ndarray]:
    """Per-context sums of t and of t − Sae(t) over the kept rows: what FVU with its interval is made from.

    Args:
        targets: .npy of `error_parts`, [context, position, d_model].
        kept: the other rows have no active latent, see `silence`.
        sae: folder with decoder and codes.npz of these rows.

    Returns:
        `rows` and `norm_square` (Σ ‖t‖²) [context]; `total` and `square` of t − shift, and `residual` (squared)
        [context, d_model]; `shift` [d_model]; `latents`: [fired at least once, all]; `l0`: mean.
    """
    t = open_activations(targets)
    contexts, positions, d_model = t.shape
    decoder, codes = load_decoder(sae), read_arrays(sae / "codes.npz")
    index, value = (codes[name].reshape(contexts, positions, -1) for name in ("index", "value"))
    shift = torch.from_numpy(t[0][kept[0]].mean(0)).double()
    total, square, residual = (np.zeros((contexts, d_model)) for _ in range(3))
    norm_square = np.zeros(contexts)
    for context in range(contexts):
        rows = torch.from_numpy(t[context][kept[context]]).double()
        left = rows - torch.from_numpy(
            decoder.decode(Codes.of(*(part[context][kept[context]] for part in (index, value))))
        )
        norm_square[context] = rows.square().sum()
        total[context] = (rows - shift).sum(0)
        square[context] = (rows - shift).square().sum(0)
        residual[context] = left.square().sum(0)
    fired = np.unique(codes["index"][codes["value"] > 0])
    return {
        "rows": kept.sum(1).astype(np.float64),
        "shift": shift.numpy(),
        "total": total,
        "square": square,
        "residual": residual,
        "norm_square": norm_square,
        "latents": np.array([len(fired), decoder.d_sae], dtype=np.float64),
        "l0": np.array(codes["l0"][kept.ravel()].mean(dtype=np.float64)),
    }
