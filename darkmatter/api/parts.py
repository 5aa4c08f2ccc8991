"""The error of each row and its two parts, kept on disk and read back as memory maps."""

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from jaxtyping import Float
from torch import Tensor

from darkmatter.api.rows import GivenRows
from darkmatter.storage.artifacts import ArtifactError, read_arrays, write_arrays, write_json

if TYPE_CHECKING:
    import pandas as pd

VECTORS = ("error", "linear", "nonlinear")
TABLE, ABOUT = "rows.npz", "about.json"
FIRST = ("context", "position", "kept")
NORMS = {"x": "norm_sq_target", "sae": "norm_sq_sae", "error": "norm_sq_error"}
NORMS |= {f"{part}/cross-fit": f"norm_sq_{part}" for part in ("linear", "nonlinear")}


@dataclass(frozen=True)
class RowParts:
    """e = linear + nonlinear of each row, [row, d_out]: files in a folder, mapped when they are read.

    The linear part of a row comes from a regression on the other folds of contexts, so that none has seen the row.
    """

    folder: Path

    def __post_init__(self) -> None:
        if not (self.folder / ABOUT).is_file():
            raise ArtifactError(
                f"{self.folder} holds no parts: decompose(…, parts=FOLDER) (--parts FOLDER) writes them"
            )

    def mapped(self, name: str) -> Float[np.ndarray, "row d_out"]:
        return np.load(self.folder / f"{name}.npy", mmap_mode="r")

    @property
    def error(self) -> Float[np.ndarray, "row d_out"]:
        return self.mapped("error")

    @property
    def linear(self) -> Float[np.ndarray, "row d_out"]:
        return self.mapped("linear")

    @property
    def nonlinear(self) -> Float[np.ndarray, "row d_out"]:
        return self.mapped("nonlinear")

    @cached_property
    def columns(self) -> dict[str, np.ndarray]:
        """Context and position of each row, whether it took part, was held out, and the squared norms of its parts."""
        return read_arrays(self.folder / TABLE)

    def to_frame(self) -> "pd.DataFrame":
        """`columns` as a table, one line for each row of the vectors."""
        import pandas as pd  # here alone: a table is asked for by few, and costs half a second

        frame = pd.DataFrame(self.columns)
        return frame[[*FIRST, *frame.columns.difference(FIRST)]]


def check_parts(folder: Path) -> None:
    """Refuse a folder for parts that holds something, before the long work."""
    if folder.exists() and any(folder.iterdir()):
        raise ArtifactError(f"{folder} is not empty: name a new folder for the parts")


class PartsWriter:
    """Writes the parts of one context after the other, as the passes make them."""

    def __init__(self, folder: Path, rows: GivenRows) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.folder, self.rows = folder, rows
        shape = (len(rows.x.rows), rows.y.shape[2])
        self.files = [
            np.lib.format.open_memmap(folder / f"{name}.npy", mode="w+", dtype=np.float32, shape=shape)
            for name in VECTORS
        ]

    def __call__(self, context: int, *vectors: Tensor) -> None:
        place, there = self.rows.x.rows_of(context), self.rows.x.present_in(context)
        for file, part in zip(self.files, vectors, strict=True):
            file[place] = part.float().cpu().numpy()[there]

    def close(self, table: dict[str, np.ndarray]) -> RowParts:
        """Write what the rows are, from the table of the passes, and hand everything out for reading."""
        for file in self.files:
            file.flush()
        self.files = []
        x, splits = self.rows.x, self.rows.splits
        context, position = np.nonzero(x.present)
        columns = {"context": context.astype(np.int32), "position": position.astype(np.int32)}
        columns["kept"] = x.of_rows(self.rows.kept)
        for split in ("token", "context"):
            columns[f"held_out_{split}"] = columns["kept"] & ~x.of_rows(splits.fits_on(split))
        columns |= {name: x.of_rows(table[column]) for column, name in NORMS.items()}
        columns["l0"] = x.of_rows(table["l0"]).astype(np.int32)
        write_arrays(self.folder / TABLE, columns)
        write_json(self.folder / ABOUT, {"rows": len(context), "d_out": self.rows.y.shape[2], "map": "cross-fit"})
        return RowParts(self.folder)
