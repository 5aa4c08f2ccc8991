"""activations + an SAE of any architecture → the sums per context that its numbers are made of.

Sae(x) comes from sae-lens's own inference class and is not kept: an SAE with a skip is no sum of latents, so that codes
could not stand for it. The maps and the held-out rows are those of the decomposition.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from darkmatter.decomposition.passes import error_maps, split_error
from darkmatter.decomposition.samples import Rebuilt, SaeSample
from darkmatter.decomposition.shared_moments import read_prepared, write_moments
from darkmatter.experiments.architectures.names import SUMS
from darkmatter.experiments.architectures.train import FACTS
from darkmatter.models.activation_files import open_activations
from darkmatter.models.outliers import kept_rows
from darkmatter.regression.splits import SPLITS, draw_splits
from darkmatter.statistics.per_dimension import unexplained_sums
from darkmatter.storage.artifacts import ArtifactError, read_json, write_arrays

if TYPE_CHECKING:  # sae-lens takes 6–13 s to import: only a process that encodes pays for it
    from sae_lens import SAE

WAY = "paper"  # the convention: intercepts, and the linear part from the split's own map


@dataclass(frozen=True)
class Outputs(Rebuilt):
    """Sae(x) of every row, in memory.

    Attributes:
        l0: latents that fired.
        fired: whether each latent did on any row.
    """

    values: Float[np.ndarray, "context position d_model"]
    l0: Int[np.ndarray, "context position"]
    fired: np.ndarray

    def context(self, number: int) -> Float[Tensor, "position d_model"]:
        return torch.from_numpy(self.values[number])


def prepare_contexts(
    out: Path,
    activations: str,
    contexts: int,
    fit_share: float,
    folds: int,
    split_seed: int,
    eigen_cutoff: float,
    outlier_norm_ratio: float | None,
) -> None:
    """What all SAEs share, as `shared_moments.prepare` writes it, of the first contexts of a file (a unit).

    Raises:
        ArtifactError: a value is NaN or infinite, or there are too few rows.
    """
    x = open_activations(Path(activations))[:contexts]
    kept = kept_rows(Path(activations), outlier_norm_ratio)[:contexts]
    splits = draw_splits(*x.shape[:2], fit_share, folds, split_seed, kept)
    write_moments(out, x, splits, eigen_cutoff, torch.device("cpu"), activations)


def measure(
    out: Path, activations: str, contexts: int, prepared: str, sae: str, fit_share: float, folds: int, split_seed: int
) -> None:
    """Write SUMS of one SAE (a unit of the stage architectures).

    Keys: `SPLIT/NAME` [context], over the split's held-out rows, of the contexts that have any:
        error, nonlinear   Σ ‖e‖² and Σ ‖e − ê‖², for FVU and FVU_nonlinear
        unexplained        [2, context] for R² of the error vector: see `per_dimension.unexplained_sums`
        l0                 Σ of latents that fired
    `latent_fired` (on any row, all there are), `mean_l0` over all rows, `l1_coefficient` (NaN of those without).

    Args:
        activations: .npy, [context, position, d_model].
        contexts: how many of them to use.
        prepared: folder written by `prepare_contexts` for these contexts.

    Raises:
        ArtifactError: sae-lens cannot load the SAE, or it gives NaN or infinity.
    """
    x = open_activations(Path(activations))[:contexts]
    shared = read_prepared(Path(prepared), draw_splits(*x.shape[:2], fit_share, folds, split_seed))
    splits = draw_splits(*x.shape[:2], fit_share, folds, split_seed, shared.kept)
    outputs = rebuild(open_inference(Path(sae)), x, sae)
    sample = SaeSample(x, outputs, splits, shared)
    _, _, dimensions = split_error(sample, error_maps(sample))
    row_sets = splits.row_sets()
    arrays: dict[str, np.ndarray] = {}
    for place, split in enumerate(SPLITS):
        used = np.flatnonzero(row_sets[place].any(1))
        total, square, left = (
            dimensions[name][place][used] for name in ("error_sum", "error_square", f"nonlinear/{split}/{WAY}")
        )
        own = {"error": square.sum(1), "nonlinear": left.sum(1), "l0": (outputs.l0 * row_sets[place])[used].sum(1)}
        own["unexplained"] = unexplained_sums(row_sets[place][used].sum(1).astype(np.float64), total, square, left)
        arrays |= {f"{split}/{name}": values for name, values in own.items()}
    coefficient = read_json(Path(sae) / FACTS)["l1_coefficient"]
    arrays["l1_coefficient"] = np.array(np.nan if coefficient is None else coefficient)
    arrays["latent_fired"] = np.array([outputs.fired.sum(), len(outputs.fired)])
    arrays["mean_l0"] = np.array(outputs.l0[splits.kept].mean())
    write_arrays(out / SUMS, arrays)


def open_inference(folder: Path) -> "SAE[Any]":
    """An SAE that sae-lens has saved, or this experiment's own class.

    Raises:
        ArtifactError: sae-lens cannot load it.
    """
    from sae_lens import SAE

    import darkmatter.experiments.architectures.skip_topk  # noqa: F401 - registers the class

    try:
        sae = SAE.load_from_disk(folder, dtype="float32")
    except Exception as error:
        raise ArtifactError(f"{folder}: sae-lens cannot load it ({type(error).__name__}: {error})") from error
    return sae.eval()


@torch.no_grad()
def rebuild(sae: "SAE[Any]", x: Any, where: str) -> Outputs:
    """Sae(x) and what fired, of every row.

    Raises:
        ArtifactError: there is NaN or infinity in it.
    """
    from darkmatter.experiments.architectures.skip_topk import SkipTopKSAE, skip_of

    values, l0 = np.empty(x.shape, dtype=np.float32), np.empty(x.shape[:2], dtype=np.int64)
    fired = np.zeros(sae.cfg.d_sae, dtype=bool)
    for number in range(len(x)):
        rows = torch.from_numpy(np.array(x[number]))
        codes = sae.encode(rows)
        output = sae.decode(codes)
        if isinstance(sae, SkipTopKSAE):
            output += skip_of(sae, rows)
        values[number], l0[number] = output.numpy(), codes.count_nonzero(dim=1).numpy()
        fired |= codes.any(0).numpy()
    if not np.isfinite(values).all():
        raise ArtifactError(f"{where}: Sae(x) has NaN or infinity; the activations or the weights are damaged")
    return Outputs(values, l0, fired)
