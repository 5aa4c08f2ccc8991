"""Run the stages' engine on activations and an SAE in memory: the same passes and sums, Sae(x) from anywhere."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from darkmatter.api.coders import Coder, Csr
from darkmatter.api.grid import Grid
from darkmatter.decomposition.shared_moments import Prepared
from darkmatter.regression.moments import Blocks, make_blocks
from darkmatter.regression.splits import Splits
from darkmatter.saes.codes import blocks

Tick = Callable[[int], object]


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


@dataclass(frozen=True)
class Rows:
    """What the passes of `decomposition` read of a `samples.SaeSample`, with Sae(x) of one context from a function."""

    x: ProgressGrid
    rebuild: Callable[[int], Float[Tensor, "position d_model"]]
    splits: Splits
    prepared: Prepared

    @cached_property
    def blocks(self) -> Blocks:
        return make_blocks(self.splits)

    def context(self, number: int) -> tuple[Tensor, Tensor]:
        """(x, Sae(x)) of one context, in the dtype of the products, where the moments are."""
        x, sae = torch.from_numpy(np.array(self.x[number])), self.rebuild(number)
        place = {"device": self.prepared.device, "dtype": self.prepared.products}
        return x.to(**place), sae.to(**place)


class FiringCounts:
    """How many latents fired on each row of a grid, and which ever did on a kept row."""

    def __init__(self, grid: Grid, kept: Bool[np.ndarray, "context position"], d_sae: int) -> None:
        self.grid = grid
        self.kept = grid.of_rows(kept)
        self.l0 = np.zeros(len(grid.rows), dtype=np.int32)
        self.fired = np.zeros(d_sae, dtype=bool)

    def count(self, start: int, codes: Csr) -> None:
        latents, values, counts = codes
        self.l0[start : start + len(counts)] = counts
        kept = self.kept[start : start + len(counts)].repeat(counts)
        self.fired[latents[kept & (values != 0)]] = True

    def of_contexts(self) -> tuple[np.ndarray, np.ndarray]:
        """l0 [context, position], and whether each latent fired."""
        return self.grid.on_grid(self.l0), self.fired


class StoredCodes:
    """Codes of all rows on disk, one after the other; a context's come back as [position, slot]."""

    def __init__(self, folder: Path) -> None:
        self.files = [(folder / name, dtype) for name, dtype in (("latents", np.int32), ("values", np.float32))]
        self.counts: list[np.ndarray] = []

    def append(self, codes: Csr) -> None:
        for (path, dtype), array in zip(self.files, codes[:2], strict=True):
            with path.open("ab") as file:
                array.astype(dtype, copy=False).tofile(file)
        self.counts.append(codes[2])

    @cached_property
    def ends(self) -> Int[np.ndarray, " row"]:
        return np.concatenate([[0], np.cumsum(np.concatenate(self.counts), dtype=np.int64)])

    def read(self, start: int, stop: int) -> tuple[np.ndarray, np.ndarray]:
        """index and value of some rows; unused slots hold value 0 at latent 0."""
        counts = np.diff(self.ends[start : stop + 1])
        filled = np.arange(counts.max(initial=0)) < counts[:, None]
        first, found = self.ends[start], []
        for path, dtype in self.files:
            slots = np.zeros(filled.shape, dtype=dtype)
            slots[filled] = np.fromfile(path, dtype, count=self.ends[stop] - first, offset=first * slots.itemsize)
            found.append(slots)
        return tuple(found)


def encode_all(coder: Coder, grid: Grid, firings: FiringCounts, stored: StoredCodes | None, tick: Tick) -> None:
    """One pass of the encoder over all rows, in the blocks in which `codes` takes them."""
    ticked = 0
    for start in range(0, len(grid.rows), coder.rows_at_once):
        codes = coder.codes(grid.rows[start : start + coder.rows_at_once])
        firings.count(start, codes)
        if stored is not None:
            stored.append(codes)
        done = int(np.searchsorted(grid.starts[1:], start + coder.rows_at_once, side="right"))
        tick(done - ticked)
        ticked = done


def rebuild_from_codes(coder: Coder, stored: StoredCodes, grid: Grid) -> Callable[[int], Tensor]:
    def rebuild(context: int) -> Tensor:
        rows = grid.rows_of(context)
        return grid.spread(context, coder.decode(*stored.read(rows.start, rows.stop)))

    return rebuild


def rebuild_anew(coder: Coder, grid: Grid, firings: FiringCounts) -> Callable[[int], Tensor]:
    """Sae(x) through the SAE's own `decode`, counting what fires on the way."""

    def rebuild(context: int) -> Tensor:
        rows = grid.rows_of(context)
        outputs, start = [], rows.start
        for block in blocks(grid.rows[rows], coder.d_sae):
            acts, output = coder.rebuild(block)
            row, latent = acts.nonzero(as_tuple=True)
            counts = torch.bincount(row, minlength=len(block))
            firings.count(start, (latent.numpy(), acts[row, latent].numpy(), counts.numpy()))
            outputs.append(output)
            start += len(block)
        return grid.spread(context, torch.cat(outputs))

    return rebuild
