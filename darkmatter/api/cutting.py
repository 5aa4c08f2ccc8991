"""Cut activations into contexts: arrays of contexts, flat rows with the context of each, iterators; masked rows go."""

from collections.abc import Iterator
from typing import Any

import numpy as np
from torch import Tensor

from darkmatter.api.context_ids import rows_of_contexts
from darkmatter.api.numbers import check_whole
from darkmatter.storage.artifacts import ArtifactError

Piece = tuple[Any, np.ndarray | None]  # rows of a context that are given; [position] which are there, None for all


def each(
    source: Any,
    what: str,
    mask: np.ndarray | None,
    context_ids: np.ndarray | Tensor | None,
    context_length: int | None,
) -> Iterator[Piece]:
    """One context after the other."""
    if not isinstance(source, np.ndarray | Tensor):
        if context_ids is not None or context_length is not None:
            raise ArtifactError(
                f"{what}: {type(source).__name__} is taken as contexts one after the other, so leave out context_ids, "
                "context_length; flat rows come as one array, numpy.asarray(x)"
            )
        return masked(iter(source), mask, what)
    check_whole(source, what)
    if source.ndim == 3:
        if context_ids is not None:
            raise ArtifactError(f"{what} are {list(source.shape)}, contexts already: leave out context_ids")
        if mask is not None and mask.shape != tuple(source.shape[:2]):
            raise ArtifactError(
                f"the mask is {list(mask.shape)}, {what} are {list(source.shape)}: it needs one entry per row, "
                f"{list(source.shape[:2])}. Cut it as the activations were cut"
            )
        return masked((source[number] for number in range(len(source))), mask, what)
    if source.ndim == 4:
        raise ArtifactError(
            f"{what} are {list(source.shape)}: one vector per row is needed. Heads (hook_z) are flattened with "
            "x.reshape(*x.shape[:2], -1)"
        )
    if source.ndim != 2:
        raise ArtifactError(f"{what} are {list(source.shape)}, not [context, position, d_model] or [row, d_model]")
    return flat(source, what, mask, context_ids, context_length)


def masked(contexts: Iterator[Any], mask: np.ndarray | None, what: str) -> Iterator[Piece]:
    """Whole contexts, each without the rows that the mask leaves out."""
    if mask is None:
        yield from ((context, None) for context in contexts)
        return
    count = 0
    for number, given in enumerate(contexts):
        context = given if isinstance(given, Tensor) else np.asarray(given)
        if number >= len(mask) or mask.ndim != 2 or len(context) != mask.shape[1]:
            raise ArtifactError(
                f"the mask is {list(mask.shape)}, context {number} of {what} has {len(context)} rows: it needs one "
                "entry per row, [context, position]"
            )
        yield context[mask[number]], mask[number]
        count = number + 1
    if count < len(mask):
        raise ArtifactError(f"the mask is of {len(mask)} contexts, {what} have {count}")


def flat(
    source: np.ndarray | Tensor,
    what: str,
    mask: np.ndarray | None,
    context_ids: np.ndarray | Tensor | None,
    context_length: int | None,
) -> Iterator[Piece]:
    """Contexts of rows [row, d_model]."""
    rows = len(source)
    if context_ids is None and context_length is None and mask is not None and mask.ndim == 2:
        return placed(source, mask, what)
    if mask is not None and (
        mask.size != rows or (context_length and mask.ndim == 2 and mask.shape[1] != context_length)
    ):
        raise ArtifactError(f"the mask is {list(mask.shape)}, {what} have {rows} rows: it needs one entry per row")
    if context_ids is not None:
        members = rows_of_contexts(context_ids, rows, what)
    elif context_length is None:
        raise ArtifactError(
            f"{what} are {list(source.shape)}: which rows belong to one context? Intervals and the context split need "
            "it. Give context_ids, one per row (--context-ids FILE.npy), or context_length (--context-length)"
        )
    elif context_length < 1 or rows % context_length:
        raise ArtifactError(
            f"{what}: {rows} rows are not whole contexts of {context_length} rows. Contexts of several lengths need "
            "the context of each row: context_ids (--context-ids FILE.npy)"
        )
    else:
        members = (np.arange(start, start + context_length) for start in range(0, rows, context_length))
    if mask is None:
        return ((source[index], None) for index in members)
    counts = mask.ravel()
    return ((source[index[counts[index]]], counts[index]) for index in members)


def placed(source: np.ndarray | Tensor, mask: np.ndarray, what: str) -> Iterator[Piece]:
    """Flat rows that are the trues of a mask [context, position], one after the other."""
    if np.count_nonzero(mask) != len(source):
        raise ArtifactError(
            f"{what} have {len(source)} rows, the mask {list(mask.shape)} has {np.count_nonzero(mask)} ones. Flat rows "
            "are those that it keeps, or come with context_ids (--context-ids) or context_length (--context-length)"
        )
    ends = np.cumsum(mask.sum(1))
    return ((source[end - row.sum() : end], row) for end, row in zip(ends.tolist(), mask, strict=True))
