"""Rows of contexts of any length, one after the other on disk, read as if they were [context, position, d_model].

Only rows that take part are kept; the grid is as wide as the longest context. Splits are drawn on the grid, so that
contexts padded to one length and masked, and the same contexts without padding, have the same rows held out.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor


@dataclass(frozen=True)
class Grid:
    """Rows of activations, and their places in [context, position].

    Attributes:
        rows: those that take part, context after context.
        present: where they stand; every context has one.
        masked: positions that a mask left out.
    """

    rows: Float[np.ndarray, "row d_model"]
    present: Bool[np.ndarray, "context position"]
    masked: int = 0

    @property
    def shape(self) -> tuple[int, int, int]:
        return (*self.present.shape, self.rows.shape[1])

    def __len__(self) -> int:
        return len(self.present)

    @cached_property
    def starts(self) -> Int[np.ndarray, " boundary"]:
        """First row of each context, and the number of rows."""
        return np.concatenate([[0], np.cumsum(self.present.sum(1))])

    @cached_property
    def lengths(self) -> Int[np.ndarray, " context"]:
        """Positions up to the last present one."""
        return self.present.shape[1] - self.present[:, ::-1].argmax(1)

    def rows_of(self, context: int) -> slice:
        """Which rows are those of one context."""
        return slice(int(self.starts[context]), int(self.starts[context + 1]))

    def __getitem__(self, context: int) -> Float[np.ndarray, "position d_model"]:
        """The context up to its last row; rows between that are left out are zero."""
        rows, present = self.rows[self.rows_of(context)], self.present_in(context)
        if present.all():
            return rows
        spread = np.zeros((len(present), rows.shape[1]), dtype=rows.dtype)
        spread[present] = rows
        return spread

    def __iter__(self) -> Iterator[np.ndarray]:
        return (self[context] for context in range(len(self)))

    def present_in(self, context: int) -> Bool[np.ndarray, " position"]:
        return self.present[context, : self.lengths[context]]

    def spread(self, context: int, rows: Float[Tensor, "row d_model"]) -> Float[Tensor, "position d_model"]:
        """Something of the rows of one context, in the form of `self[context]`."""
        present = self.present_in(context)
        if present.all():
            return rows
        result = rows.new_zeros(len(present), rows.shape[1])
        result[torch.from_numpy(present)] = rows
        return result

    def of_rows(self, grid: np.ndarray) -> np.ndarray:
        """[row] of [context, position]."""
        return grid[self.present]

    def on_grid(self, rows: np.ndarray) -> np.ndarray:
        """[context, position] of [row]; zero where there is no row."""
        grid = np.zeros(self.present.shape, dtype=rows.dtype)
        grid[self.present] = rows
        return grid
