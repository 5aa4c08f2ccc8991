"""Activations in any form, as the one the engine reads: a grid of contexts over an .npy, float32 [row, d_model].

Arrays, tensors, memory maps, files and iterators are all read one context at a time. A file or memory map of float32
[context, position, d_model] in which every row counts is used where it stands; everything else is copied into the work
folder, without the rows that a mask leaves out.
"""

import itertools
import math
from collections.abc import Iterable
from pathlib import Path
from typing import BinaryIO

import numpy as np
from jaxtyping import Bool
from torch import Tensor

from darkmatter.api.containers import open_container
from darkmatter.api.cutting import Piece, each
from darkmatter.api.grid import Grid
from darkmatter.api.masks import load_npy
from darkmatter.api.numbers import as_float32, check_finite
from darkmatter.api.survey import Survey
from darkmatter.storage.artifacts import ArtifactError, open_array

Activations = np.ndarray | Tensor | str | Path | Iterable

# The tables of the passes hold some 500 bytes for each position of the grid, empty ones too.
MANY_CELLS, SPARSE = 1 << 24, 4


def store(
    activations: Activations,
    target: Path,
    what: str = "activations",
    *,
    mask: Bool[np.ndarray, "..."] | None = None,
    context_ids: np.ndarray | Tensor | str | Path | None = None,
    context_length: int | None = None,
    contexts: int | None = None,
    survey: Survey | None = None,
) -> Grid:
    """The grid of these activations: over their own file, or over `target` when they had to be copied.

    Args:
        activations: [context, position, d_model], or [row, d_model] with `context_ids`, `context_length` or a mask of
            [context, position], as an array, tensor, memory map or path (`containers`); or an iterator of
            [position, d_model].
        what: their name in errors.
        mask: true where a row counts, [context, position] or [row]. Of flat rows it may have as many trues as there
            are rows: then it says where they stand.
        context_ids: [row], which context each row is from, as an array or path of an .npy.
        context_length: rows of each context, one context after the other.
        contexts: use the first so many only.
        survey: is shown the rows of each context.

    Raises:
        ArtifactError: a shape that is none of these, a context without a row, or a value that is not finite.
    """
    if isinstance(context_ids, str | Path):
        context_ids = load_npy(Path(context_ids), "context_ids")
    source = activations
    if isinstance(activations, str | Path):
        source = open_container(Path(activations), target.with_suffix(".source.npy"), what)
    file = own_file(source)
    if file is not None and (mask is None or (mask.shape == source.shape[:2] and mask.all())):
        source = source[:contexts]
        for number, rows in enumerate(source):
            look_at(rows, number, what, survey)
        return Grid(source.reshape(-1, source.shape[2]), np.ones(source.shape[:2], dtype=bool))
    pieces = itertools.islice(each(source, what, mask, context_ids, context_length), contexts)
    present = write(pieces, target, what, survey)
    masked_out = sum(len(part) - int(np.count_nonzero(part)) for part in present)
    return Grid(open_array(target, (None, None)), on_grid(present, what), masked_out)


def look_at(rows: np.ndarray, number: int, what: str, survey: Survey | None) -> None:
    check_finite(rows, number, what)
    if survey is not None:
        survey.look(number, rows)


def own_file(source: object) -> Path | None:
    """The .npy behind a memory map that is the whole of it and has the engine's form."""
    if not isinstance(source, np.memmap) or source.mode == "c" or source.filename is None:
        return None
    try:
        whole = np.load(source.filename, mmap_mode="r", allow_pickle=False)
    except (ValueError, OSError, EOFError):
        return None
    facts = [(a.shape, a.strides, a.dtype, a.offset) for a in (source, whole)]
    usable = whole.ndim == 3 and whole.dtype == np.float32 and whole.flags.c_contiguous and whole.size
    return Path(source.filename) if usable and facts[0] == facts[1] else None


def write(pieces: Iterable[Piece], target: Path, what: str, survey: Survey | None) -> list[np.ndarray]:
    """Append the rows of contexts to an .npy, whose number of rows is known at the end; returns where they stand."""
    present, count, width = [], 0, None
    with target.open("wb") as file:
        for number, (given, where) in enumerate(pieces):
            rows = as_float32(given, number, what)
            if rows.ndim != 2:
                raise ArtifactError(f"{what}: context {number} is {list(rows.shape)}, not [position, d_model]")
            if width is None:
                width = rows.shape[1]
                start = write_header(file, (0, width))
            if rows.shape[1] != width:
                raise ArtifactError(
                    f"{what}: context {number} is {list(rows.shape)}, the first has d_model {width}: one hookpoint at "
                    "a time"
                )
            if not len(rows):
                raise ArtifactError(f"{what}: context {number} has no row that counts; leave it out, as x[mask.any(1)]")
            look_at(rows, number, what, survey)
            file.write(np.ascontiguousarray(rows).data)
            present.append(np.ones(len(rows), dtype=bool) if where is None else where)
            count += len(rows)
        if width is None:
            raise ArtifactError(f"{what}: there is no context")
        file.seek(0)
        if write_header(file, (count, width)) != start:  # NumPy leaves room for the first axis to grow
            raise AssertionError("the header of the .npy grew")
    return present


def on_grid(present: list[np.ndarray], what: str) -> Bool[np.ndarray, "context position"]:
    """Where rows stand, of contexts that begin at position 0 and have any length.

    Raises:
        ArtifactError: one context is so much longer than the others that the grid is nearly empty, and large.
    """
    lengths = np.array([len(part) for part in present])
    rows, cells = sum(map(np.count_nonzero, present)), len(present) * int(lengths.max())
    if cells > max(MANY_CELLS, SPARSE * rows):
        most = math.ceil(np.quantile(lengths, 0.95))
        raise ArtifactError(
            f"{what}: {len(present)} contexts of up to {lengths.max():,} positions hold {rows:,} rows: tables of "
            f"{cells:,} positions, nearly all empty, need {500 * cells / 1e9:.0f} GB. Cut the longest contexts, or "
            f"make several of each: 95 % have {most:,} positions or fewer"
        )
    grid = np.zeros((len(present), lengths.max()), dtype=bool)
    for row, part in zip(grid, present, strict=True):
        row[: len(part)] = part
    return grid


def write_header(file: BinaryIO, shape: tuple[int, ...]) -> int:
    header = {"descr": np.dtype("<f4").str, "fortran_order": False, "shape": shape}
    np.lib.format.write_array_header_1_0(file, header)
    return file.tell()
