"""Shards of one array, read as if they were joined: nothing is copied until rows are asked for."""

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np


class Shards:
    """Arrays one after the other along their first axis. [number] and [indices] give numbers, [slice] only a view.

    Attributes:
        parts: arrays that agree in all but their length, none empty; each is a memory map or reads like one.
        starts: where each part begins, and where the last one ends.
    """

    def __init__(self, parts: Sequence[Any]) -> None:
        self.parts = list(parts)
        self.starts = np.cumsum([0, *(len(part) for part in parts)])

    @property
    def shape(self) -> tuple[int, ...]:
        return (int(self.starts[-1]), *self.parts[0].shape[1:])

    @property
    def ndim(self) -> int:
        return len(self.shape)

    def __len__(self) -> int:
        return self.shape[0]

    def __getitem__(self, index: Any) -> Any:
        if isinstance(index, slice):
            return self.between(*index.indices(len(self)))
        if isinstance(index, np.ndarray):
            return self.gathered(index)
        number = range(len(self))[index]
        part = int(np.searchsorted(self.starts, number, side="right")) - 1
        return self.parts[part][number - int(self.starts[part])]

    def between(self, start: int, stop: int, step: int) -> Any:
        if step != 1:
            raise ValueError("shards are sliced without a step")
        firsts = self.starts[:-1].tolist()
        inside = [
            part[max(start - first, 0) : stop - first]
            for first, part in zip(firsts, self.parts, strict=True)
            if first < stop and start < first + len(part)
        ]
        if not inside:
            return self.parts[0][:0]
        return inside[0] if len(inside) == 1 else Shards(inside)

    def gathered(self, index: np.ndarray) -> np.ndarray:
        """The entries at `index`, whole numbers in any order or a mask, in memory."""
        index = np.arange(len(self))[index]
        which = np.searchsorted(self.starts, index, side="right") - 1
        rows = np.empty((len(index), *self.shape[1:]), np.float32)
        for part in np.unique(which):
            here = which == part
            rows[here] = self.parts[part][index[here] - self.starts[part]]
        return rows

    def __iter__(self) -> Iterator[np.ndarray]:
        return (entry for part in self.parts for entry in part)

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray:
        return np.concatenate([np.asarray(part) for part in self.parts]).astype(dtype or np.float32, copy=False)

    def reshape(self, *shape: int) -> "Shards":
        """Of the whole as [row, …]: the first length must be −1, and rows must not cross from part to part."""
        if shape[0] != -1:
            raise ValueError(f"shards become rows of any number, not of {shape[0]}")
        return Shards([part.reshape(*shape) for part in self.parts])
