"""Run the stages' engine on activations and an SAE in memory: the same passes and sums, Sae(x) from anywhere."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from darkmatter.api.coders import rows_at_once
from darkmatter.api.grid import Grid
from darkmatter.decomposition.samples import Rebuilt, SaeSample
from darkmatter.decomposition.shared_moments import Contexts
from darkmatter.saes.codes import Active
from darkmatter.saes.dense import DenseSae, on_cpu
from darkmatter.saes.protocol import Codes, Sae

Tick = Callable[[int], object]
AnySae = Sae | DenseSae


@dataclass(frozen=True)
class ProgressGrid:
    """Activations that tell how many contexts have been read."""

    grid: Grid
    tick: Tick

    @property
    def shape(self) -> tuple[int, ...]:
        return self.grid.shape

    def __len__(self) -> int:
        return len(self.grid)

    def __getitem__(self, context: int) -> np.ndarray:
        self.tick(1)
        return self.grid[context]


def flat(codes: Codes) -> Active:
    filled = np.arange(codes.index.shape[1]) < codes.l0[:, None]
    return codes.index[filled], codes.value[filled], codes.l0


class FiringCounts:
    """How many latents fired on each row of a grid, on how many kept rows each of them did, and how much in all."""

    def __init__(self, grid: Grid, kept: Bool[np.ndarray, "context position"], d_sae: int) -> None:
        self.grid = grid
        self.kept = grid.of_rows(kept)
        self.l0 = np.zeros(len(grid.rows), dtype=np.int32)
        self.rows_of_latent = np.zeros(d_sae, dtype=np.int64)
        self.l1 = 0.0

    def count(self, start: int, codes: Codes) -> None:
        latents, values, counts = flat(codes)
        self.l0[start : start + len(counts)] = counts
        kept = self.kept[start : start + len(counts)].repeat(counts)
        firing = kept & (values != 0)
        self.rows_of_latent += np.bincount(latents[firing], minlength=len(self.rows_of_latent))
        self.l1 += float(np.abs(values[firing]).sum(dtype=np.float64))

    def of_contexts(self) -> tuple[np.ndarray, np.ndarray]:
        """l0 [context, position], and whether each latent fired."""
        return self.grid.on_grid(self.l0), self.rows_of_latent > 0

    def reset(self) -> None:
        """Forget everything, before the rows are encoded once more."""
        self.rows_of_latent[:] = 0
        self.l1 = 0.0


class StoredCodes:
    """Codes of all rows on disk, one after the other; a context's come back as [position, slot]."""

    def __init__(self, folder: Path) -> None:
        self.files = [(folder / name, dtype) for name, dtype in (("latents", np.int32), ("values", np.float32))]
        self.counts: list[np.ndarray] = []

    def append(self, codes: Codes) -> None:
        *arrays, counts = flat(codes)
        for (path, dtype), array in zip(self.files, arrays, strict=True):
            with path.open("ab") as file:
                array.astype(dtype, copy=False).tofile(file)
        self.counts.append(counts)

    @cached_property
    def ends(self) -> Int[np.ndarray, " row"]:
        return np.concatenate([[0], np.cumsum(np.concatenate(self.counts), dtype=np.int64)])

    def read(self, start: int, stop: int) -> tuple[np.ndarray, np.ndarray]:
        """index and value of some rows; unused slots hold value 0 at latent 0."""
        counts = np.diff(self.ends[start : stop + 1])
        filled = np.arange(counts.max(initial=0)) < counts[:, None]
        first, result = self.ends[start], []
        for path, dtype in self.files:
            slots = np.zeros(filled.shape, dtype=dtype)
            slots[filled] = np.fromfile(path, dtype, count=self.ends[stop] - first, offset=first * slots.itemsize)
            result.append(slots)
        return tuple(result)


def encode_all(sae: AnySae, grid: Grid, firings: FiringCounts, stored: StoredCodes | None, tick: Tick) -> None:
    """One pass of the encoder over all rows, in the blocks in which `encode` takes them."""
    ticked, size = 0, rows_at_once(sae, grid.shape[2])
    for start in range(0, len(grid.rows), size):
        codes = sae.encode(np.array(grid.rows[start : start + size]))
        firings.count(start, codes)
        if stored is not None:
            stored.append(codes)
        done = int(np.searchsorted(grid.starts[1:], start + size, side="right"))
        tick(done - ticked)
        ticked = done


@dataclass(frozen=True)
class GivenReconstruction:
    """Sae(x) as it was given."""

    grid: Grid

    def context(self, number: int) -> Tensor:
        return torch.from_numpy(np.array(self.grid[number]))  # a copy: the map is read-only


@dataclass(frozen=True)
class FromCodes:
    """Sae(x) from what one pass of the encoder left."""

    sae: AnySae
    stored: StoredCodes
    grid: Grid

    def context(self, number: int) -> Tensor:
        rows = self.grid.rows_of(number)
        decoded = self.sae.decode(Codes.of(*self.stored.read(rows.start, rows.stop)))
        return self.grid.spread(number, on_cpu(decoded, "decode"))


@dataclass(frozen=True)
class Anew:
    """Sae(x) through the SAE's own `decode`, counting what fires on the way."""

    sae: DenseSae
    grid: Grid
    firings: FiringCounts

    def context(self, number: int) -> Tensor:
        rows = self.grid.rows_of(number)
        codes, output = self.sae.rebuild(self.grid.rows[rows])
        if number == 0:
            self.firings.reset()  # of the pass before
        self.firings.count(rows.start, codes)
        return self.grid.spread(number, torch.from_numpy(output))


@dataclass(frozen=True)
class WithSkip:
    """T(x) of a transcoder whose skip connection adds x W to what its codes give."""

    rebuilt: Rebuilt
    grid: Grid
    skip: Float[Tensor, "d_model d_out"]

    def context(self, number: int) -> Tensor:
        return self.rebuilt.context(number) + torch.from_numpy(np.array(self.grid[number])) @ self.skip


@dataclass(frozen=True)
class TargetSample(SaeSample):
    """What the passes read of a transcoder, which is to give `targets`."""

    targets: Contexts

    def with_target(self, number: int) -> tuple[Tensor, Tensor, Tensor]:
        x, sae = self.context(number)
        return x, torch.from_numpy(np.array(self.targets[number])).to(x), sae
