"""Activations on disk: [context, position, d_model] in the number type of the model, as one .npy or a folder of shards.

float32 is stored as such. NumPy has no bfloat16: its numbers are stored as uint16, the upper halves of the float32
numbers they equal, and widened, exactly, when they are read. No other artifact here is uint16, so the file tells.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float

from darkmatter.models.shards import Shards
from darkmatter.storage.artifacts import ArtifactError, open_array

BFLOAT16 = "uint16"  # dtype of such a file


class Bfloat16:
    """A stored array that reads as float32 in place of a memory map: [number] is widened, [slice] only when used."""

    def __init__(self, stored: np.ndarray) -> None:
        self.stored = stored

    @property
    def shape(self) -> tuple[int, ...]:
        return self.stored.shape

    @property
    def ndim(self) -> int:
        return self.stored.ndim

    def __len__(self) -> int:
        return len(self.stored)

    def __getitem__(self, index: Any) -> "np.ndarray | Bfloat16":
        return Bfloat16(self.stored[index]) if isinstance(index, slice) else widened(self.stored[index])

    def __iter__(self) -> Iterator[np.ndarray]:
        return (widened(part) for part in self.stored)

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray:
        return widened(self.stored).astype(dtype or np.float32, copy=False)

    def reshape(self, *shape: int) -> "Bfloat16":
        return Bfloat16(self.stored.reshape(*shape))


Activations = Float[np.ndarray, "context position d_model"] | Bfloat16 | Shards


def is_bfloat16(activations: Activations) -> bool:
    return isinstance(activations.parts[0] if isinstance(activations, Shards) else activations, Bfloat16)


def spacing(activations: Activations) -> float:
    """Distance from 1 to the next number of the type that the model computed them in."""
    return 2.0**-7 if is_bfloat16(activations) else float(np.finfo(np.float32).eps)


def widened(stored: np.ndarray) -> np.ndarray:
    """float32 of bfloat16 numbers stored as uint16."""
    upper = stored.astype(np.uint32)
    upper <<= 16
    return upper.view(np.float32)


def narrowed(values: Float[np.ndarray, "..."]) -> np.ndarray:
    """bfloat16 nearest to finite float32 numbers (of two, the even one), as uint16."""
    bits = values.view(np.uint32)
    return ((bits + 0x7FFF + (bits >> 16 & 1)) >> 16).astype(np.uint16)


def create_activations(path: Path, like: Activations) -> np.ndarray:
    """A new file of the shape and number type of `like`, mapped for writing: what `stored` returns goes in."""
    dtype = BFLOAT16 if is_bfloat16(like) else np.float32
    return np.lib.format.open_memmap(path, mode="w+", dtype=dtype, shape=like.shape)


def stored(values: Float[np.ndarray, "..."], file: np.ndarray) -> np.ndarray:
    """float32 numbers as `file` holds them."""
    return narrowed(values) if file.dtype == BFLOAT16 else values


def readable(file: np.ndarray) -> Activations:
    """What reads as float32, of a mapped file of either number type."""
    return Bfloat16(file) if file.dtype == BFLOAT16 else file


def open_activations(path: Path, shape: tuple[int | None, int | None, int | None] = (None, None, None)) -> Activations:
    """Memory-map the activations of one hookpoint; whatever their number type, they read as float32.

    Args:
        path: an .npy, or a folder of them: shards of contexts, in the order of their names.

    Raises:
        ArtifactError: missing, damaged, of another shape (None: any length), or neither float32 nor bfloat16.
    """
    if not path.is_dir():
        return open_file(path, shape)
    files = sorted(path.glob("*.npy"))
    if not files:
        raise ArtifactError(f"{path} holds no shard of activations. Run `dvc repro activations`.")
    parts = [open_file(files[0], (None, *shape[1:]))]
    parts += [open_file(file, (None, *parts[0].shape[1:])) for file in files[1:]]
    if len({type(part) for part in parts}) > 1:
        raise ArtifactError(f"{path}: some shards are float32 and some bfloat16. Run `dvc repro -f activations`.")
    whole = parts[0] if len(parts) == 1 else Shards(parts)
    if shape[0] not in (None, len(whole)):
        raise ArtifactError(f"{path} holds {len(whole)} contexts, not {shape[0]}. Run `dvc repro activations`.")
    return whole


def open_file(path: Path, shape: tuple[int | None, int | None, int | None]) -> Activations:
    try:
        with path.open("rb") as file:
            version = np.lib.format.read_magic(file)
            read = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
            dtype = read(file)[2]
    except (OSError, ValueError):
        return open_array(path, shape)  # says what is wrong
    return readable(open_array(path, shape, BFLOAT16 if dtype == BFLOAT16 else "float32"))


def rows_of(activations: Activations) -> Activations:
    """The same as [row, d_model], contexts one after the other; nothing is read."""
    return activations.reshape(-1, activations.shape[-1])
