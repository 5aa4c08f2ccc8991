"""Weight matrices left in their file and read in blocks of latents, so that a wide SAE is never in memory whole."""

import json
import mmap
import tempfile
import zipfile
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from safetensors import SafetensorError, safe_open

from darkmatter.models.activation_files import widened
from darkmatter.storage.artifacts import ArtifactError
from darkmatter.storage.zip_members import data_offset

SAFETENSORS_TYPES = {
    "F32": "<f4",
    "F16": "<f2",
    "F64": "<f8",
    "BF16": "<u2",
}  # bfloat16 is read as the upper half of a float32
FLOATS = {"<f4", "<f2", "<f8"}
HEADER_LIMIT = 100 << 20  # bytes, as in safetensors itself


@dataclass(frozen=True)
class Matrix:
    """A matrix of latents in its file.

    `stored` is a read-only memory map, [latent, d_model] when `latents_first`, else [d_model, latent]; what is read
    from it is multiplied by `scale` and returned as float32.
    """

    stored: np.ndarray
    latents_first: bool
    bfloat16: bool = False
    scale: float = 1.0

    @property
    def shape(self) -> tuple[int, int]:
        """(latents, d_model)"""
        latents, d_model = self.stored.shape if self.latents_first else self.stored.shape[::-1]
        return latents, d_model

    @property
    def dtype(self) -> str:
        return "bfloat16" if self.bfloat16 else self.stored.dtype.name

    def block(self, start: int, stop: int) -> np.ndarray:
        """The latents from `start` to `stop`, float32 [latent, d_model]; transposed views stay transposed in memory.

        The pages of the file that were read are given back: who asks for blocks has no room for the whole.
        """
        part = self.stored[start:stop] if self.latents_first else self.stored[:, start:stop]
        values = self.as_float32(part)
        give_back(self.stored)
        return values if self.latents_first else values.T

    def rows(self, latents: np.ndarray) -> np.ndarray:
        """Some latents, float32 [latent, d_model]: cheap when they are rows of the file."""
        if self.latents_first:
            return self.as_float32(self.stored[latents])
        return np.ascontiguousarray(self.as_float32(self.stored[:, latents]).T)

    def as_float32(self, part: np.ndarray) -> np.ndarray:
        # A copy in either case: members of an .npz are not aligned in their file.
        values = widened(part) if self.bfloat16 else np.array(part, dtype=np.float32)
        if self.scale != 1.0:
            values *= np.float32(self.scale)
        return values

    def latents_in_rows(self, block: int) -> "Matrix":
        """The same matrix with its latents as rows, rewritten in blocks to an unnamed file if need be."""
        if self.latents_first:
            return self
        latents, d_model = self.shape
        stored = scratch((latents, d_model))
        for start in range(0, latents, block):
            stored[start : start + block] = self.block(start, start + block)
        return Matrix(stored, latents_first=True)

    def scaled(self, factor: float) -> "Matrix":
        return replace(self, scale=self.scale * factor)


def give_back(array: np.ndarray) -> None:
    """Take the pages of a memory map out of this process; they are in the file, and are read again when asked for."""
    base: Any = array
    while isinstance(base, np.ndarray):
        base = base.base
    if isinstance(base, mmap.mmap) and hasattr(mmap, "MADV_DONTNEED"):
        base.madvise(mmap.MADV_DONTNEED)


def scratch(shape: tuple[int, ...], dtype: str = "<f4") -> np.ndarray:
    """A map of a new file in the folder for temporary files (TMPDIR), gone when the map is."""
    with tempfile.TemporaryFile() as file:
        return np.memmap(file, dtype=dtype, mode="w+", shape=shape)


def map_npz(path: Path) -> dict[str, np.ndarray]:
    """Every array of an .npz as a read-only map; members stored compressed are unpacked to a temporary file first.

    Raises:
        ArtifactError: not an .npz, truncated, holds a name twice, Python objects or something that is no float.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            members = archive.infolist()
            if len({member.filename for member in members}) != len(members):
                raise ArtifactError(f"{path} holds an array twice, so which one counts is unclear. Download it again.")
            return {member.filename.removesuffix(".npy"): map_member(path, archive, member) for member in members}
    except FileNotFoundError:
        raise ArtifactError(f"{path} does not exist") from None
    except (zipfile.BadZipFile, ValueError, OSError, EOFError) as error:
        raise ArtifactError(f"{path} is truncated, damaged or not an .npz ({error}). Download it again.") from None


def map_member(path: Path, archive: zipfile.ZipFile, member: zipfile.ZipInfo) -> np.ndarray:
    with archive.open(member) as stream:
        version = np.lib.format.read_magic(stream)
        read = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
        shape, fortran, dtype = read(stream)
        header = stream.tell()
        if dtype.str not in FLOATS:
            raise ArtifactError(f"{path}: {member.filename} holds {dtype}, expected float32, float16 or float64")
        size = int(np.prod(shape)) * dtype.itemsize
        if member.file_size != header + size:
            raise ArtifactError(f"{path}: {member.filename} has {member.file_size - header} bytes, expected {size}")
        if member.compress_type == zipfile.ZIP_STORED:
            with path.open("rb") as file:
                offset = data_offset(file, member) + header
            return (
                np.memmap(path, dtype, "r", offset, shape, order="F" if fortran else "C") if size else np.empty(shape)
            )
        flat = scratch((int(np.prod(shape)),), dtype.str)
        unpacked = flat.data.cast("B")
        place = 0
        while chunk := stream.read(1 << 20):
            unpacked[place : place + len(chunk)] = chunk
            place += len(chunk)
    return flat.reshape(shape, order="F" if fortran else "C")


def map_safetensors(path: Path) -> dict[str, tuple[np.ndarray, bool]]:
    """Every tensor as a read-only map, with whether it is bfloat16 (then the map holds uint16).

    Raises:
        ArtifactError: damaged, a tensor named twice (safetensors takes the last), or of a type that is no float.
    """
    try:
        with safe_open(path, framework="np"):  # refuses truncated files, gaps and overlaps
            pass
        with path.open("rb") as file:
            length = int.from_bytes(file.read(8), "little")
            header = json.loads(file.read(min(length, HEADER_LIMIT)), object_pairs_hook=refuse_twice)
    except FileNotFoundError:
        raise ArtifactError(f"{path} does not exist") from None
    except (SafetensorError, ValueError, OSError) as error:
        raise ArtifactError(f"{path} is truncated, damaged or no safetensors ({error}). Download it again.") from None
    header.pop("__metadata__", None)
    return {name: map_tensor(path, name, entry, 8 + length) for name, entry in header.items()}


def map_tensor(path: Path, name: str, entry: dict[str, Any], start: int) -> tuple[np.ndarray, bool]:
    if entry["dtype"] not in SAFETENSORS_TYPES:
        raise ArtifactError(f"{path}: {name} holds {entry['dtype']}, expected one of {', '.join(SAFETENSORS_TYPES)}")
    dtype, shape = np.dtype(SAFETENSORS_TYPES[entry["dtype"]]), tuple(entry["shape"])
    if 0 in shape:
        return np.empty(shape, dtype), False
    return np.memmap(path, dtype, "r", start + entry["data_offsets"][0], shape), entry["dtype"] == "BF16"


def refuse_twice(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    names = [name for name, _ in pairs]
    if repeated := sorted({name for name in names if names.count(name) > 1}):
        raise ValueError(f"{repeated[0]!r} appears twice")
    return dict(pairs)
