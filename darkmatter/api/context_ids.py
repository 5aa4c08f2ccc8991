"""The context of each flat row, by ids of any kind that tells contexts apart: numbers, strings, in any order.

What does not is refused, for contexts that run together shift the intervals and the context split in silence.
"""

import numpy as np
import torch
from jaxtyping import Int
from torch import Tensor

from darkmatter.storage.artifacts import ArtifactError

NOWHERE = -1  # by a common habit the id of rows that belong to no context


def rows_of_contexts(context_ids: np.ndarray | Tensor, rows: int, what: str) -> list[Int[np.ndarray, " row"]]:
    """The rows of each context, in the order in which the contexts first appear.

    Raises:
        ArtifactError: not one id per row, or ids that do not tell contexts apart.
    """
    ids = distinct(context_ids)
    if ids.shape != (rows,):
        raise ArtifactError(f"context_ids are {list(ids.shape)}, {what} have {rows} rows")
    check_nowhere(ids)
    _, first, context, counts = np.unique(ids, return_index=True, return_inverse=True, return_counts=True)
    members = np.split(np.argsort(context, kind="stable"), np.cumsum(counts)[:-1])
    return [members[number] for number in np.argsort(first)]


def distinct(context_ids: np.ndarray | Tensor) -> np.ndarray:
    """The ids as an array in which other contexts have other ids."""
    if isinstance(context_ids, Tensor):
        held, dtype = context_ids.detach().cpu(), context_ids.dtype
        exact = 2 / torch.finfo(dtype).eps if dtype.is_floating_point else None
        ids = held.numpy() if exact is None else held.double().numpy()
    else:
        ids = np.asarray(context_ids)
        exact = 2 / np.finfo(ids.dtype).eps if ids.dtype.kind == "f" else None
    if exact is not None and not (np.isfinite(ids) & (np.abs(ids) < exact) & (ids == np.round(ids))).all():
        raise ArtifactError(
            f"context_ids hold NaN, fractions, or numbers from {exact:,.0f} on, which {context_ids.dtype} cannot tell "
            'apart. Give whole numbers: ids.astype("int64")'
        )
    if ids.dtype == object and ({*map(type, ids.ravel())} & {type(None), float} or len({*map(type, ids.ravel())}) > 1):
        raise ArtifactError("context_ids hold None, NaN or things of several types. Give one whole number per row")
    return ids


def check_nowhere(ids: np.ndarray) -> None:
    """Refuse a −1 that stands between contexts, where each of the others is in one piece."""
    if ids.dtype.kind not in "if" or not ids.size or ids.min() != NOWHERE:
        return
    starts = ids[np.flatnonzero(np.diff(ids, prepend=ids[0] - 1))]
    result, runs = np.unique(starts, return_counts=True)
    if runs[result == NOWHERE] > 1 and (runs[result != NOWHERE] == 1).all():
        raise ArtifactError(
            f"context_ids are {NOWHERE} in {int(runs[result == NOWHERE][0]):,} places between contexts, as rows of no "
            "context are. Leave those rows out (mask=ids >= 0, --mask), or give that context another number"
        )
