"""Moments of regressors with themselves, at little more than half the products: the matrix is symmetric."""

import torch
from jaxtyping import Float
from torch import Tensor

from darkmatter.regression.moments import Blocks, BlockSums, CrossMoments

STRIP = 288  # columns formed at once, from the diagonal on: narrower wastes fewer products, wider multiplies faster


class SymmetricMomentsFitter(BlockSums):
    """Accumulates Σ x̃ and the upper triangle of Σ x̃ x̃ᵀ of each block, in float64."""

    def __init__(self, blocks: Blocks, regressors: int, device: torch.device | str = "cpu") -> None:
        super().__init__(blocks, regressors, regressors, device)
        self.sum_t = self.sum_x

    def update(self, context: int, x: Float[Tensor, "position regressor"]) -> None:
        """Add one context; `x` comes shifted."""
        x = x.double()
        for block, positions in self.blocks.rows_of(context, x.device):
            rows = x[positions]
            self.rows[block] += len(positions)
            self.sum_x[block] += rows.sum(0)
            for start in range(0, x.shape[1], STRIP):
                strip = slice(start, start + STRIP)
                self.sum_xt[block, strip, start:].addmm_(rows[:, strip].T, rows[:, start:])

    def fit_set(self, name: str) -> CrossMoments:
        """The centred moments over the rows of one fit set."""
        result = super().fit_set(name)  # right on and above the diagonal
        upper = result.s_xt.triu()
        return CrossMoments(result.rows, result.mean_x, result.mean_t, upper + torch.triu(upper, 1).T)
