"""What every SAE of a hookpoint shares: the factor of S_xx for each fit set, and the sums of x per context.

Computed once per hookpoint and stored as one .npz; `Prepared` is its reader.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

import numpy as np
import torch
from jaxtyping import Bool, Float
from torch import Tensor

from darkmatter.models.activation_files import open_activations
from darkmatter.models.device import usable
from darkmatter.models.outliers import kept_rows
from darkmatter.regression.context_sums import RowSums
from darkmatter.regression.least_squares import SINGLE_PRECISION_CONDITION, Factor, factorise
from darkmatter.regression.moments import CrossMomentsFitter, make_blocks
from darkmatter.regression.splits import Splits, draw_splits
from darkmatter.storage.artifacts import ArtifactError, read_arrays, write_arrays

FILE = "activations.npz"


@runtime_checkable
class Contexts(Protocol):
    """Activations by context: `models.activation_files.Activations`, or what makes the rows of one when asked."""

    @property
    def shape(self) -> tuple[int, ...]: ...

    def __len__(self) -> int: ...

    def __getitem__(self, context: int, /) -> Any: ...


@dataclass(frozen=True)
class Prepared:
    """What every SAE of one hookpoint shares, as read from its file.

    Attributes:
        x_shift: float32-representable mean activation; all moments are taken around it.
        factors: one per fit set.
        kept: rows that are no outliers.
    """

    x_shift: Float[Tensor, " d_model"]
    factors: dict[str, Factor]
    kept: Bool[np.ndarray, "context position"]

    @property
    def device(self) -> torch.device:
        return self.x_shift.device

    @property
    def products(self) -> torch.dtype:
        """float32 where every fit set is conditioned well enough for it, else float64 (at half the speed)."""
        worst = max(factor.condition_number for factor in self.factors.values())
        return torch.float32 if worst <= SINGLE_PRECISION_CONDITION else torch.float64


def prepare(
    out: Path,
    activations: str,
    fit_share: float,
    folds: int,
    split_seed: int,
    eigen_cutoff: float,
    device: str = "cpu",
    outlier_norm_ratio: float | None = None,
    hookpoint: str | None = None,
) -> None:
    """Write the shared moments of one hookpoint (a unit of the decomposition stage).

    Args:
        activations: .npy, float32 [context, position, d_model].
        device: where the moments are formed; the file does not say where.
        outlier_norm_ratio: as in `outliers.kept_rows`.
        hookpoint: .npy of all contexts, whose median norm counts, where `activations` holds the first of them only.

    Raises:
        ParamsError: there is no such device here.
        ArtifactError: a value is NaN or infinite, or there are too few rows.
    """
    place = usable(device)
    x = open_activations(Path(activations))
    contexts, positions, _ = x.shape
    kept = kept_rows(Path(hookpoint or activations), outlier_norm_ratio)[:contexts]
    splits = draw_splits(contexts, positions, fit_share, folds, split_seed, kept)
    write_moments(out, x, splits, eigen_cutoff, place, activations)


def write_moments(
    out: Path, x: Contexts, splits: Splits, eigen_cutoff: float, place: torch.device, where: str = "activations"
) -> None:
    """Write the shared moments of some rows.

    Args:
        x: activations; a context that is shorter than the longest has fewer rows.
        place: where the moments are formed.
        where: name of the activations in errors.

    Raises:
        ArtifactError: a value is NaN or infinite, or there are too few rows.
    """
    contexts, _, d_model = x.shape
    x_shift = float32_mean(x, splits.kept, where).to(place)
    fitter = CrossMomentsFitter(make_blocks(splits), d_model, d_model, device=place)
    row_sets = torch.from_numpy(splits.row_sets()).double().to(place)
    total, square = RowSums(row_sets, d_model), RowSums(row_sets, d_model)
    for context in range(contexts):
        shifted = shift(x[context], x_shift)
        fitter.update(context, shifted, shifted)
        total.update(context, shifted)
        square.update(context, shifted**2)
    arrays = {"x_shift": x_shift.cpu().numpy(), "x_sum": total.numpy(), "x_square": square.numpy()}
    arrays |= {"rows": splits.row_sets().sum(-1).astype(np.float64), "kept": splits.kept}
    for name in splits.fit_sets:
        factor = factorise(fitter.fit_set(name), eigen_cutoff)
        arrays[f"{name}/root"] = factor.root.cpu().numpy()
        arrays[f"{name}/mean_x"] = factor.mean_x.cpu().numpy()
        arrays[f"{name}/facts"] = np.array([factor.rows, factor.rank, factor.condition_number])
    write_arrays(out / FILE, arrays)


def float32_mean(x: Contexts, kept: np.ndarray, where: str) -> Float[Tensor, " d_model"]:
    """Mean over the kept rows, rounded to float32 so that float32 activations can be shifted by it."""
    total = np.zeros(x.shape[-1])
    for context in range(len(x)):
        rows = x[context]
        total += rows[kept[context, : len(rows)]].sum(0, dtype=np.float64)
        if not np.isfinite(total).all():
            raise ArtifactError(
                f"{where}: context {context} holds a NaN or an infinity; run `dvc repro -f activations`"
            )
    return torch.from_numpy(total / kept.sum()).float().double()


def shift(
    rows: Float[np.ndarray, "position d_model"], x_shift: Float[Tensor, " d_model"]
) -> Float[Tensor, "position d_model"]:
    """x − x_shift in float64, where x_shift is."""
    return torch.from_numpy(np.array(rows)).to(x_shift.device).double() - x_shift


def read_x_sums(file: Path) -> dict[str, np.ndarray]:
    """`rows`, `x_sum` and `x_square` of what `prepare` wrote, and no factors, which take d_model² numbers each."""
    with np.load(file, allow_pickle=False) as archive:
        return {name: archive[name] for name in ("rows", "x_sum", "x_square")}


def without_factors(arrays: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """What `prepare` wrote, less what only `read_prepared` needs: d_model² numbers for each fit set."""
    return {name: array for name, array in arrays.items() if not name.endswith("/root")}


def read_prepared(folder: Path, splits: Splits, device: torch.device | str = "cpu") -> Prepared:
    """What `prepare` wrote, on a device."""
    arrays = read_arrays(folder / FILE)
    factors = {}
    for name in splits.fit_sets:
        rows, rank, condition = arrays[f"{name}/facts"].tolist()
        mean_x, root = (torch.from_numpy(arrays[f"{name}/{part}"]).to(device) for part in ("mean_x", "root"))
        factors[name] = Factor(int(rows), mean_x, root, int(rank), condition)
    return Prepared(torch.from_numpy(arrays["x_shift"]).to(device), factors, arrays["kept"])
