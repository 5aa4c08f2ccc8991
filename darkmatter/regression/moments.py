"""Moments of activations, accumulated in float64 around a shift, block by block.

Every row belongs to one block: the rows of one fold, on one side of the context split, on one side of the
token split. Each fit set of `splits` is a union of blocks, so that one pass over the data serves the token
split, the context split, the fit on all rows and every cross-fitting fold.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from darkmatter.regression.splits import Splits


@dataclass(frozen=True)
class Blocks:
    """The blocks that rows belong to, and the fit sets that are unions of blocks.

    Attributes:
        members: block of each row.
        fit_sets: for each fit set, which blocks it is made of.
    """

    members: Int[np.ndarray, "context position"]
    fit_sets: dict[str, np.ndarray]

    @property
    def count(self) -> int:
        return int(self.members.max()) + 1

    def rows_of(
        self, context: int, device: torch.device | str = "cpu", positions: int | None = None
    ) -> Iterator[tuple[int, Tensor]]:
        """The blocks met in one context, each with the positions it holds there, as a tensor on `device`.

        Args:
            positions: of the context; None where it is as long as the longest.
        """
        members = torch.from_numpy(self.members[context, :positions])
        for block in torch.unique(members).tolist():
            yield block, torch.nonzero(members == block).squeeze(1).to(device)


def make_blocks(splits: Splits) -> Blocks:
    """The coarsest partition of the rows of which every fit set is a union."""
    patterns = np.zeros(splits.token_fit.shape, dtype=np.uint32)  # one bit for each fit set
    for name in splits.fit_sets:
        patterns = patterns << 1 | splits.fits_on(name)
    present, members = np.unique(patterns, return_inverse=True)
    bits = {name: bit for bit, name in enumerate(reversed(splits.fit_sets))}
    fit_sets = {name: np.flatnonzero(present >> bits[name] & 1) for name in splits.fit_sets}
    return Blocks(members.reshape(splits.token_fit.shape), fit_sets)


class BlockSums:
    """Σ x̃, Σ t̃ and Σ x̃ t̃ᵀ of each block, with x̃ = x − x_shift and t̃ = t − t_shift.

    The shifts lie near the means, so that centring afterwards cancels nothing (a dimension of mean 3000 and
    deviation 1 loses all its digits in raw float32 moments).

    Args:
        device: where the sums are kept, float64.
    """

    def __init__(self, blocks: Blocks, d_model: int, targets: int, device: torch.device | str) -> None:
        self.blocks = blocks

        def zeros(*shape: int) -> Tensor:
            return torch.zeros(blocks.count, *shape, dtype=torch.float64, device=device)

        self.rows = zeros()
        self.sum_x, self.sum_t, self.sum_xt = zeros(d_model), zeros(targets), zeros(d_model, targets)

    def fit_set(self, name: str) -> "CrossMoments":
        """The centred moments over the rows of one fit set."""
        chosen = torch.from_numpy(self.blocks.fit_sets[name]).to(self.rows.device)
        rows = float(self.rows[chosen].sum())
        mean_x, mean_t = self.sum_x[chosen].sum(0) / rows, self.sum_t[chosen].sum(0) / rows
        s_xt = self.sum_xt[chosen].sum(0) - rows * torch.outer(mean_x, mean_t)
        return CrossMoments(int(rows), mean_x, mean_t, s_xt)


class CrossMomentsFitter(BlockSums):
    """Accumulates the sums of x̃ and t̃, which are on `device`.

    Args:
        products: dtype in which the products of one context are formed; sums are float64 always.
    """

    def __init__(
        self,
        blocks: Blocks,
        d_model: int,
        targets: int,
        products: torch.dtype = torch.float64,
        device: torch.device | str = "cpu",
    ) -> None:
        super().__init__(blocks, d_model, targets, device)
        self.products = products

    def update(self, context: int, x: Float[Tensor, "position d_model"], t: Float[Tensor, "position target"]) -> None:
        """Add one context; `x` and `t` come shifted."""
        x, t = x.to(self.products), t.to(self.products)
        for block, positions in self.blocks.rows_of(context, x.device, len(x)):
            x_block, t_block = x[positions], t[positions]
            self.rows[block] += len(positions)
            self.sum_x[block] += x_block.sum(0, dtype=torch.float64)
            self.sum_t[block] += t_block.sum(0, dtype=torch.float64)
            self.sum_xt[block] += x_block.T @ t_block


@dataclass(frozen=True)
class CrossMoments:
    """Σ (x − x̄)(t − t̄)ᵀ over some rows, float64; the means are relative to the shifts."""

    rows: int
    mean_x: Float[Tensor, " d_model"]
    mean_t: Float[Tensor, " target"]
    s_xt: Float[Tensor, "d_model target"]
