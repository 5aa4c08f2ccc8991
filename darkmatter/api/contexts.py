"""Activations in any form, as the one the engine reads: an .npy, float32 [context, position, d_model].

Arrays, tensors, memory maps, files and iterators are all read one context at a time. A file or memory map that has
this form already is used where it stands; everything else is copied into the work folder.
"""

import itertools
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import BinaryIO

import numpy as np
from jaxtyping import Float
from torch import Tensor

from darkmatter.activation_files import BFLOAT16, widened
from darkmatter.artifacts import ArtifactError

Activations = np.ndarray | Tensor | str | Path | Iterable
Context = Float[np.ndarray, "position d_model"]


def store(
    activations: Activations,
    target: Path,
    what: str = "activations",
    context_ids: np.ndarray | Tensor | None = None,
    context_length: int | None = None,
    contexts: int | None = None,
) -> Path:
    """The .npy that holds these activations: their own file, or `target` when they had to be copied.

    Args:
        activations: [context, position, d_model], or [row, d_model] with `context_ids` or `context_length`, as an
            array, tensor, memory map or path of an .npy; or an iterator of [position, d_model].
        what: their name in errors.
        context_ids: [row], which context each row is from; every context has the same number of rows.
        context_length: rows of each context, one context after the other.
        contexts: use the first so many only.

    Raises:
        ArtifactError: a shape that is none of these, contexts of unequal length, or a value that is not finite.
    """
    source = open_npy(Path(activations), what) if isinstance(activations, str | Path) else activations
    file = own_file(source)
    if file is not None and (contexts is None or contexts >= len(source)):
        for number, context in enumerate(source):
            check_finite(context, number, what)
        return file
    write(itertools.islice(each(source, what, context_ids, context_length), contexts), target, what)
    return target


def open_npy(path: Path, what: str) -> np.memmap:
    try:
        return np.load(path, mmap_mode="r", allow_pickle=False)
    except FileNotFoundError:
        raise ArtifactError(f"{what}: {path} does not exist") from None
    except (ValueError, OSError, EOFError) as error:
        raise ArtifactError(
            f"{what}: {path} is no .npy ({error}); write one with numpy.save(path, array), float32 "
            "[context, position, d_model]"
        ) from None


def own_file(source: object) -> Path | None:
    """The .npy behind a memory map that is the whole of it and has the engine's form."""
    if not isinstance(source, np.memmap) or source.mode == "c" or source.filename is None:
        return None
    try:
        whole = np.load(source.filename, mmap_mode="r", allow_pickle=False)
    except (ValueError, OSError, EOFError):
        return None
    facts = [(a.shape, a.strides, a.dtype, a.offset) for a in (source, whole)]
    usable = whole.ndim == 3 and whole.dtype == np.float32 and whole.flags.c_contiguous
    return Path(source.filename) if usable and facts[0] == facts[1] else None


def each(
    source: object, what: str, context_ids: np.ndarray | Tensor | None, context_length: int | None
) -> Iterator[np.ndarray | Tensor]:
    """One context after the other."""
    if not isinstance(source, np.ndarray | Tensor):
        if context_ids is not None or context_length is not None:
            raise ArtifactError(f"{what}: an iterator gives whole contexts, so leave out context_ids, context_length")
        return iter(source)
    if source.ndim == 3:
        return (source[number] for number in range(len(source)))
    if source.ndim == 4:
        raise ArtifactError(
            f"{what} are {list(source.shape)}: one vector per row is needed. Heads (hook_z) are flattened with "
            "x.reshape(*x.shape[:2], -1)"
        )
    if source.ndim != 2:
        raise ArtifactError(f"{what} are {list(source.shape)}, not [context, position, d_model] or [row, d_model]")
    if context_ids is not None:
        return (source[rows] for rows in rows_of_contexts(context_ids, len(source), what))
    if context_length is None:
        raise ArtifactError(
            f"{what} are {list(source.shape)}: which rows belong to one context? Intervals and the context split need "
            "it. Give context_ids (one per row) or context_length (--context-length)"
        )
    if context_length < 1 or len(source) % context_length:
        raise ArtifactError(f"{what}: {len(source)} rows are not whole contexts of {context_length} rows")
    return (source[start : start + context_length] for start in range(0, len(source), context_length))


def rows_of_contexts(context_ids: np.ndarray | Tensor, rows: int, what: str) -> Iterator[np.ndarray]:
    """The rows of each context, in the order in which the contexts first appear."""
    ids = np.asarray(context_ids)
    if ids.shape != (rows,):
        raise ArtifactError(f"context_ids are {list(ids.shape)}, {what} have {rows} rows")
    _, first, context, counts = np.unique(ids, return_index=True, return_inverse=True, return_counts=True)
    if counts.min() != counts.max():
        raise ArtifactError(
            f"{what}: contexts have {counts.min()} to {counts.max()} rows; cut them to the same length first"
        )
    members = np.argsort(context, kind="stable").reshape(len(counts), -1)
    return iter(members[np.argsort(first)])


def write(contexts: Iterable[np.ndarray | Tensor], target: Path, what: str) -> None:
    """Append contexts to an .npy whose number of contexts is known at the end."""
    count, shape = 0, None
    with target.open("wb") as file:
        for context in contexts:
            values = as_float32(context, count, what)
            if values.ndim != 2:
                raise ArtifactError(f"{what}: context {count} is {list(values.shape)}, not [position, d_model]")
            if shape is None:
                shape = values.shape
                start = write_header(file, (0, *shape))
            if values.shape != shape:
                raise ArtifactError(
                    f"{what}: context {count} is {list(values.shape)}, the first {list(shape)}; cut all to one length"
                )
            check_finite(values, count, what)
            file.write(np.ascontiguousarray(values).data)
            count += 1
        if shape is None:
            raise ArtifactError(f"{what}: there is no context")
        file.seek(0)
        if write_header(file, (count, *shape)) != start:  # NumPy leaves room for the first axis to grow
            raise AssertionError("the header of the .npy grew")


def write_header(file: BinaryIO, shape: tuple[int, ...]) -> int:
    header = {"descr": np.dtype("<f4").str, "fortran_order": False, "shape": shape}
    np.lib.format.write_array_header_1_0(file, header)
    return file.tell()


def as_float32(context: object, number: int, what: str) -> np.ndarray:
    values = context.detach().cpu().float().numpy() if isinstance(context, Tensor) else np.asarray(context)
    if values.dtype == BFLOAT16:  # a file of this repository's own, of a model in bfloat16
        return widened(values)
    if values.dtype.kind not in "fiu":
        raise ArtifactError(f"{what}: context {number} holds {values.dtype}, not numbers")
    with np.errstate(over="ignore"):  # an infinity is refused by name
        return values.astype(np.float32, copy=False)


def check_finite(context: Context, number: int, what: str) -> None:
    if not np.isfinite(context).all():
        raise ArtifactError(
            f"{what}: context {number} holds a NaN or an infinity (float16 overflows at 65,504: extract in bfloat16 "
            "or float32)"
        )
