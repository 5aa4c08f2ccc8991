"""Padding: a mask of the rows that count, and rows that look like padding where no mask was given.

A mask has the form of the activations less d_model, true (or 1) where a row counts: what tokenizers of transformers
call the attention mask. Without one, contexts that end (or start) with the same row, bit for bit, again and again are
refused: padding would be fitted, scored and counted as firings like any other row.
"""

from pathlib import Path

import numpy as np
from jaxtyping import Bool, Float, UInt
from torch import Tensor

from darkmatter.storage.artifacts import ArtifactError

NONE = "none"  # in place of a mask: every row counts, whatever it looks like

Mask = np.ndarray | Tensor | str | Path


def read_mask(mask: Mask | None) -> Bool[np.ndarray, "..."] | None:
    """The mask as an array; None where every row counts.

    Raises:
        ArtifactError: no file, or something else than 0 and 1.
    """
    if mask is None or every_row(mask):
        return None
    values = load_npy(Path(mask), "mask") if isinstance(mask, str | Path) else mask
    values = values.detach().cpu().numpy() if isinstance(values, Tensor) else np.asarray(values)
    if values.dtype.kind not in "biuf" or not np.isin(values, (0, 1)).all():
        raise ArtifactError(
            f"the mask holds {values.dtype} other than 0 and 1: it is 1 (or true) for each row that counts, 0 for "
            "padding, as attention_mask of a tokenizer"
        )
    values = values.astype(bool)
    if not values.any():
        raise ArtifactError("the mask leaves no row: 1 (or true) stands for a row that counts, 0 for padding")
    return values


def every_row(mask: Mask | None) -> bool:
    """Whether the caller said that all rows are meant."""
    return isinstance(mask, str | Path) and str(mask) == NONE


def load_npy(path: Path, what: str) -> np.ndarray:
    try:
        with path.open("rb") as file:
            return np.lib.format.read_array(file, allow_pickle=False)
    except FileNotFoundError:
        raise ArtifactError(f"{what}: {path} does not exist") from None
    except (ValueError, OSError, EOFError) as error:
        raise ArtifactError(f"{what}: {path} is no .npy ({error}); write one with numpy.save(path, array)") from None


class PaddingWatch:
    """Looks at one context after the other for rows that repeat at its end or start.

    Where a mask was given, only rows of zeros are refused: those it cannot mean, while a token that repeats may.
    """

    def __init__(self, masked: bool = False) -> None:
        self.masked = masked
        self.seen: dict[tuple[str, int], tuple[int, int]] = {}

    def look(self, number: int, rows: Float[np.ndarray, "row d_model"], hashes: UInt[np.ndarray, " row"]) -> None:
        """Take note of a context's repeated row at either end; two contexts that share one tell of padding.

        Raises:
            ArtifactError: the second context with the same repeated row, or with a row of zeros, at the same side.
        """
        for side, ordered, edge in (("end", hashes[::-1], rows[-1]), ("start", hashes, rows[0])):
            others = np.flatnonzero(ordered != ordered[0])
            run = int(others[0]) if len(others) else len(rows)
            if run < (2 if edge.any() else 1) or (self.masked and edge.any()):
                continue
            key = (side, int(ordered[0]))
            if key in self.seen:
                first, run_there = self.seen[key]
                contexts, runs = (first, number), (run_there, run)
                if self.masked:
                    raise ArtifactError(kept_padding(side, contexts, runs))
                raise ArtifactError(padding(side, contexts, runs, edge))
            self.seen[key] = (number, run)


def kept_padding(side: str, contexts: tuple[int, int], runs: tuple[int, int]) -> str:
    return (
        f"activations: contexts {contexts[0]} and {contexts[1]} {side} with {runs[0]} and {runs[1]} zero rows that the "
        "mask says count. Is it inverted, or of contexts that are padded on the other side or cut elsewhere? Give 0 "
        f"for these rows too; where all rows are meant, --mask {NONE}"
    )


def padding(side: str, contexts: tuple[int, int], runs: tuple[int, int], edge: np.ndarray) -> str:
    what = "zero rows" if not edge.any() else "rows that are all the same, bit for bit"
    position = -1 if side == "end" else 0
    return (
        f"activations: contexts {contexts[0]} and {contexts[1]} {side} with {runs[0]} and {runs[1]} {what}. This looks "
        "like padding, which would be fitted and scored like any row. Give a mask, 1 for each row that counts: --mask "
        "FILE.npy [context, position] (mask=), such as the tokenizer's attention_mask, or "
        f'numpy.save("mask.npy", (x != x[{contexts[1]}, {position}]).any(-1)). '
        f"Where these rows are meant: --mask {NONE}"
    )
