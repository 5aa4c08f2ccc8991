"""Sums over the rows of each context, in float64: all that any number or interval is made from.

`RowSums.update` takes the rows of one context and adds them up over each of the row sets (held out of the token
split, held out of the context split, all rows). A context that is shorter than the longest has its rows first.
"""

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor


class RowSums:
    """Per-context sums of one quantity: [row set, context] for scalars, [row set, context, dim] for vectors.

    They are kept where `row_sets` is, and so must be what is added.
    """

    def __init__(self, row_sets: Float[Tensor, "set context position"], dims: int | None = None) -> None:
        self.row_sets = row_sets
        sets, contexts, _ = row_sets.shape
        shape = (sets, contexts) if dims is None else (sets, contexts, dims)
        self.sums = torch.zeros(shape, dtype=torch.float64, device=row_sets.device)

    def update(self, context: int, values: Float[Tensor, "position ..."]) -> None:
        self.sums[:, context] = self.row_sets[:, context, : len(values)] @ values.double()

    def numpy(self) -> np.ndarray:
        return self.sums.cpu().numpy()


def scalar_sums(row_sets: Float[np.ndarray, "set context position"], values: Float[np.ndarray, "context position"]):
    """Sums of a per-token table over each row set: [set, context]."""
    return np.einsum("scp,cp->sc", row_sets, values, optimize=True)
