"""Is the probe of a reconstruction's norm the sum of its latents, weighted by how active they are (appendix C.2)?

With w_i the activation of latent i and y_i its direction, Sae(x) − b_dec = Σ w_i y_i is a sparse sum whose parts are
known. A probe a* of its squared norm (Eq. 21) is held against every latent: a*·y_i (Eq. 22) should be near an average
of w_i. For orthonormal y_i and independent w_i it is Cov(w_i, w_i²)/Var(w_i), which for w_i ∈ {0, s} is s itself.

Latents that are not orthogonal add to each other's share of the norm: with g_i = y_i·(Sae(x) − b_dec) the squared norm
is Σ w_i g_i exactly, so E(w g)/E(w) is to them what appendix C.1's E(w²)/E(w) is to orthogonal ones, for which g = w.

Directions are scaled to unit norm and activations by the same factor, so that an SAE with other norms loses nothing.
"""

from pathlib import Path

import numpy as np
import torch
from jaxtyping import Bool, Float
from torch import Tensor

from darkmatter.models.outliers import kept_rows
from darkmatter.params.conventions import CONVENTIONS
from darkmatter.regression.held_out_regression import regress, through_origin
from darkmatter.regression.splits import SPLITS, draw_splits
from darkmatter.saes.reconstructions import Reconstructions, open_reconstructions
from darkmatter.storage.artifacts import write_arrays

# [latent]: `firings`, `sum` Σ w, `square` Σ w² over rows, `probe/SPLIT/CONVENTION` a*·y; [group, latent], contexts in
# order: `group_sum` Σ w, `group_product` Σ w g
LATENTS = "latents.npz"
GROUPS = 10  # of contexts; the jackknife over them costs ten medians, and one over contexts a file tenfold
PROBE_SUMS = "probe_sums.npz"  # per-context sums of the probe, as `held_out_regression.HeldOut.sums`
PROBE_RANK = "probe_rank.npz"


def probe_latents(
    out: Path,
    codes: str,
    sae: str,
    activations: str,
    fit_share: float,
    folds: int,
    split_seed: int,
    cutoff: float,
    outlier_norm_ratio: float | None = None,
) -> None:
    """Fit a* and project it on every latent; write LATENTS, PROBE_SUMS and PROBE_RANK (a unit of the stage).

    Args:
        codes: .npz with `index` and `value` [row, slot].
        sae: folder of the SAE in sae-lens format, of which the decoder is read.
        activations: .npy, float32 [context, position, d_model], of the same rows.
        cutoff: as in `held_out_regression.regress`.
        outlier_norm_ratio: as in `outliers.kept_rows`.

    Raises:
        ArtifactError: codes and decoder do not fit together, or too few rows.
    """
    kept = kept_rows(Path(activations), outlier_norm_ratio)
    source = open_reconstructions(codes, sae, *kept.shape)
    splits = draw_splits(*kept.shape, fit_share, folds, split_seed, kept)

    def rows(context: int) -> tuple[Tensor, Tensor]:
        sparse_sum = source.context(context).double() - source.decoder.b_dec
        return sparse_sum, sparse_sum.square().sum(1, keepdim=True)

    result = regress(rows, splits, cutoff)
    norms = source.decoder.W_dec.double().norm(dim=1)
    latents = activity(source, kept, norms.numpy()) | products(source, kept, norms)
    for split in SPLITS:
        probes = (result.maps[split].weight[:, 0], through_origin(result.maps[split])[:, 0])
        for convention, probe in zip(CONVENTIONS, probes, strict=True):
            latents[f"probe/{split}/{convention}"] = along(source.decoder.W_dec, norms, probe).numpy()
    write_arrays(out / LATENTS, latents)
    write_arrays(out / PROBE_SUMS, result.sums)
    write_arrays(out / PROBE_RANK, {name: np.array(rank) for name, rank in result.rank.items()})


def along(W_dec: Tensor, norms: Float[Tensor, " latent"], probe: Float[Tensor, " d_model"]) -> Float[Tensor, " latent"]:
    """a*·y_i; 0 for a latent whose decoder row is zero, which has no direction."""
    return W_dec.double() @ probe / torch.where(norms > 0, norms, torch.ones_like(norms))


def activity(
    source: Reconstructions, kept: Bool[np.ndarray, "context position"], norms: Float[np.ndarray, " latent"]
) -> dict[str, np.ndarray]:
    """Firings, Σ w and Σ w² of each latent over the kept rows. An unused slot (value 0) is no firing."""
    fired = (source.value != 0) & kept[..., None]
    index, value = source.index[fired], source.value[fired].astype(np.float64)
    weight = value * norms[index]
    count = len(norms)
    return {
        "firings": np.bincount(index, minlength=count),
        "sum": np.bincount(index, weight, count),
        "square": np.bincount(index, weight**2, count),
    }


def products(
    source: Reconstructions, kept: Bool[np.ndarray, "context position"], norms: Float[Tensor, " latent"]
) -> dict[str, np.ndarray]:
    """Σ w and Σ w g of each latent over the kept rows of each group of contexts."""
    count, W_dec = len(norms), source.decoder.W_dec
    groups = min(GROUPS, len(kept))
    result = {name: np.zeros((groups, count)) for name in ("group_sum", "group_product")}
    for context, rows in enumerate(kept):
        sparse_sum = source.context(context)[torch.from_numpy(rows)] - source.decoder.b_dec
        index = source.index[context][rows]
        value = source.value[context][rows].astype(np.float64)
        slots = [(W_dec[torch.from_numpy(slot)] * sparse_sum).sum(1) for slot in index.T]  # one by one: less memory
        dot = torch.stack(slots, 1).double().numpy()  # |y| g
        group, flat = context * groups // len(kept), index.ravel()
        weight = value * norms.numpy()[index]
        result["group_sum"][group] += np.bincount(flat, weight.ravel(), count)
        result["group_product"][group] += np.bincount(flat, (value * dot).ravel(), count)
    return result
