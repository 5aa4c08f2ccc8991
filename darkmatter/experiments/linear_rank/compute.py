"""What the strongest directions of LinearError hold, on rows that they were not fitted on.

For each split b* is fitted on its fit rows and turned into directions (`directions`). In their coordinates the maps of
all ranks differ only in how many coordinates they keep, so one pass over the held-out rows scores all ranks: per
direction the squares of LinearError, of the error and of what is left of it.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from darkmatter.decomposition.passes import error_maps
from darkmatter.decomposition.samples import SaeSample, open_sample
from darkmatter.experiments.linear_rank.directions import Directions, components_of, cosines, directions_of, span
from darkmatter.experiments.linear_rank.ranks import RANK, stored_ranks
from darkmatter.regression.splits import ROW_SETS, SPLITS
from darkmatter.saes.reconstructions import Reconstructions
from darkmatter.storage.artifacts import write_arrays

SUMS = "sums.npz"
DIRECTIONS = "directions.npz"  # `Directions` of the map fitted on the contexts of the context split
DENSE = 0.1  # a latent that fires on more of the rows is dense


def measure(out: Path, spliced: bool, **sample: Any) -> None:
    """Write the sums of one SAE (a unit of the stage linear_rank).

    Args:
        spliced: write DIRECTIONS, too.
        sample: arguments of `samples.open_sample`.

    `sums.npz` holds `ranks`, `l0`, `dense` (how many latents are); for each split, over its held-out rows and
    [context]: `SPLIT/linear` and `SPLIT/left` [context, rank], the squares of LinearError of each stored rank and of
    what it leaves of the error; `SPLIT/in_components` and `SPLIT/in_dense`, the squares of LinearError within the first
    RANK principal components of x and within the span of the dense latents' decoders; `SPLIT/rank`, of b*. Squares of
    LinearError and of the error at rank 0 are about the mean of the fitted rows. `cosines/…` are those of the principal
    angles between the first RANK directions of the map fitted on all rows and each of the two, and `others`: as many
    latents that are not dense; `dimensions/…` are those of the other subspace.
    """
    opened = open_sample(**sample)
    d_model = opened.x.shape[-1]
    maps, factors = error_maps(opened), opened.prepared.factors
    fitted = {name: directions_of(maps[name], factors[name]) for name in (*SPLITS, "all")}
    ranks = stored_ranks(d_model)
    rebuilt = cast(Reconstructions, opened.sae)  # of stored codes, as `open_sample` opens them
    firings = firing_share(rebuilt, opened.splits.kept)
    dense, others = chosen_latents(firings, sample["split_seed"])
    decoders = {name: span(rebuilt.decoder.W_dec[latents].double()) for name, latents in
                {"dense": dense, "others": others}.items()}  # fmt: skip
    spans = {
        name: {"in_components": components_of(factors[name], RANK), "in_dense": decoders["dense"]} for name in fitted
    }
    sums: dict[str, Any] = {"ranks": ranks, "l0": rebuilt.l0[opened.splits.kept].mean(), "dense": len(dense)}
    for split in SPLITS:
        sums[f"{split}/rank"] = maps[split].rank
    sums |= held_out_sums(opened, ranks, {split: fitted[split] for split in SPLITS}, spans)
    first = fitted["all"].basis[:, :RANK]
    compared = {"components": spans["all"]["in_components"], **decoders}
    for name, basis in compared.items():
        sums[f"cosines/{name}"] = cosines(first, basis.to(first)).cpu().numpy()
        sums[f"dimensions/{name}"] = basis.shape[1]
    if spliced:
        write_arrays(out / DIRECTIONS, {name: part.cpu().numpy() for name, part in vars(fitted["context"]).items()})
    write_arrays(out / SUMS, {name: np.asarray(value, dtype=np.float64) for name, value in sums.items()})


def held_out_sums(
    sample: SaeSample, ranks: list[int], fitted: dict[str, Directions], spans: dict[str, dict[str, Tensor]]
) -> dict[str, Float[np.ndarray, "context ..."]]:
    """`SPLIT/SUM` over the held-out rows of each split, for each context.

    Args:
        fitted: split → the directions of the map fitted on its fit rows.
        spans: split → orthonormal bases; squares of LinearError within each are summed, too.
    """
    row_sets, kept = sample.splits.row_sets(), torch.tensor(ranks)
    device, dtype = sample.prepared.device, sample.prepared.products
    x_shift = sample.prepared.x_shift.to(dtype)
    rotated = {split: Rotation.of(directions, spans[split], dtype) for split, directions in fitted.items()}
    sums: dict[str, np.ndarray] = {}
    for split, rotation in rotated.items():
        sums |= {f"{split}/{name}": np.zeros((row_sets.shape[1], len(ranks))) for name in ("linear", "left")}
        sums |= {f"{split}/{name}": np.zeros(row_sets.shape[1]) for name in rotation.within}
    for context in range(row_sets.shape[1]):
        x, sae = sample.context(context)
        for split, rotation in rotated.items():
            held_out = np.flatnonzero(row_sets[ROW_SETS.index(split), context])
            if not len(held_out):
                continue
            rows = torch.from_numpy(held_out).to(device)
            linear, error = rotation.of_linear(x[rows] - x_shift), rotation.of_error((x - sae)[rows])
            of_linear, of_error, of_rest = (squares(part) for part in (linear, error, error - linear))
            sums[f"{split}/linear"][context] = up_to(of_linear)[kept]
            sums[f"{split}/left"][context] = (up_to(of_rest) + of_error.sum() - up_to(of_error))[kept]
            for name, projection in rotation.within.items():
                sums[f"{split}/{name}"][context] = squares(linear @ projection).sum()
    return sums


@dataclass(frozen=True)
class Rotation:
    """LinearError and the error in the coordinates of `Directions`, in the number type of the rows.

    Attributes:
        within: name → what takes these coordinates to those in a span.
    """

    basis: Float[Tensor, "d_model direction"]
    weight: Float[Tensor, "d_model direction"]
    at_mean_x: Float[Tensor, " direction"]
    mean_e: Float[Tensor, " d_model"]
    within: dict[str, Float[Tensor, "direction dimension"]]

    @classmethod
    def of(cls, fitted: Directions, spans: dict[str, Tensor], dtype: torch.dtype) -> "Rotation":
        within = {name: (fitted.basis.T @ span.to(fitted.basis)).to(dtype) for name, span in spans.items()}
        parts = (fitted.basis, fitted.weight, fitted.mean_x @ fitted.weight, fitted.mean_e)
        return cls(*(part.to(dtype) for part in parts), within)

    def of_linear(self, shifted: Float[Tensor, "row d_model"]) -> Float[Tensor, "row direction"]:
        return shifted @ self.weight - self.at_mean_x

    def of_error(self, error: Float[Tensor, "row d_model"]) -> Float[Tensor, "row direction"]:
        return (error - self.mean_e) @ self.basis


def squares(rows: Float[Tensor, "row direction"]) -> Float[Tensor, " direction"]:
    """Sums of squares over rows, float64 on the CPU."""
    return rows.square().sum(0, dtype=torch.float64).cpu()


def up_to(values: Float[Tensor, " direction"]) -> Float[Tensor, " rank"]:
    """Sums of the first 0, 1, 2, … values."""
    return torch.cat([values.new_zeros(1), values.cumsum(0)])


def firing_share(rebuilt: Reconstructions, kept: Bool[np.ndarray, "context position"]) -> Float[np.ndarray, " latent"]:
    """Of each latent, the share of the kept rows on which it fires."""
    latents = rebuilt.index[(rebuilt.value != 0) & kept[..., None]]
    return np.bincount(latents, minlength=rebuilt.decoder.d_sae) / kept.sum()


def chosen_latents(
    share: Float[np.ndarray, " latent"], seed: int
) -> tuple[Int[np.ndarray, " dense"], Int[np.ndarray, " other"]]:
    """The dense latents, and as many at random of the others that fire at all (fewer where there are fewer)."""
    dense, others = np.flatnonzero(share > DENSE), np.flatnonzero((share > 0) & (share <= DENSE))
    drawn = np.random.default_rng([seed, len(share)]).permutation(others)[: len(dense)]
    return dense, np.sort(drawn)
