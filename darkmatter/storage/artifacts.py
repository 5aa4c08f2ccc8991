"""Artifacts on disk: hashes, JSON, text and arrays, with the same bytes for the same content.

Everything that a stage leaves behind is written by this module or by `replacing`: whole or not at all.
"""

import hashlib
import json
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from darkmatter.storage.replacing import replacing, walk_files

CHUNK = 1 << 20


class ArtifactError(RuntimeError):
    """An artifact is missing, unreadable, or not what its reader needs; the message says what to do."""


def sha256_bytes(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def sha256_file(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def sha256_path(path: Path) -> str:
    """SHA-256 of a file, or of a folder's sorted (relative path, SHA-256) pairs."""
    if path.is_file():
        return sha256_file(path)
    if not path.is_dir():
        raise ArtifactError(f"{path} does not exist. Run `dvc repro` to make it.")
    listing = [f"{file.relative_to(path).as_posix()} {sha256_file(file)}\n" for file in walk_files(path)]
    return sha256_bytes("".join(listing).encode())


def write_text(path: Path, text: str) -> None:
    with replacing(path) as temporary:
        temporary.write_text(text, encoding="utf-8", newline="\n")


def to_json(content: Any) -> str:
    """Deterministic JSON: sorted keys, two-space indent, shortest exact floats, no NaN or infinity.

    Raises:
        ArtifactError: a number is not finite. An undefined quantity is an explicit null with its reason.
    """
    try:
        return json.dumps(plain(content), indent=2, sort_keys=True, ensure_ascii=False, allow_nan=False) + "\n"
    except ValueError as error:
        raise ArtifactError(f"not written: a number is NaN or infinite ({error})") from error


def plain(content: Any) -> Any:
    """NumPy scalars and arrays, tuples and paths as the JSON types that hold the same value."""
    match content:
        case Mapping():
            return {str(key): plain(value) for key, value in content.items()}
        case np.ndarray():
            return plain(content.tolist())
        case list() | tuple():
            return [plain(value) for value in content]
        case np.generic():
            return content.item()
        case Path():
            return content.as_posix()
        case _:
            return content


def write_json(path: Path, content: Any) -> None:
    write_text(path, to_json(content))


def read_json(path: Path) -> Any:
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise ArtifactError(f"{path} does not exist. Run `dvc repro` to make it.") from None
    except ValueError as error:
        raise ArtifactError(f"{path} is not valid JSON ({error}). Restore it with `dvc checkout` or rerun.") from None


def write_arrays(path: Path, arrays: Mapping[str, np.ndarray], compress: bool = False) -> None:
    """An .npz without pickle. Its bytes depend on the arrays alone (members carry a fixed date)."""
    for name, array in arrays.items():
        if array.dtype.hasobject:
            raise ArtifactError(f"{path}: array {name!r} holds Python objects, which would need pickle")
    save = np.savez_compressed if compress else np.savez
    with replacing(path) as temporary, temporary.open("wb") as file:
        save(file, **dict(sorted(arrays.items())))  # type: ignore[arg-type]  # NumPy has an option among the names


def read_arrays(path: Path) -> dict[str, np.ndarray]:
    try:
        with np.load(path, allow_pickle=False) as archive:
            return {name: archive[name] for name in archive.files}
    except FileNotFoundError:
        raise ArtifactError(f"{path} does not exist. Run `dvc repro` to make it.") from None
    except (ValueError, OSError, EOFError, zipfile.BadZipFile) as error:
        raise ArtifactError(f"{path} is damaged or not an .npz ({error}). Restore it with `dvc checkout`.") from None


def open_array(path: Path, shape: tuple[int | None, ...], dtype: str = "float32") -> np.ndarray:
    """Memory-map an .npy read-only, and refuse one of another shape (None: any length) or dtype."""
    try:
        array = np.load(path, mmap_mode="r", allow_pickle=False)
    except FileNotFoundError:
        raise ArtifactError(f"{path} does not exist. Run `dvc repro` to make it.") from None
    except (ValueError, OSError, EOFError) as error:
        raise ArtifactError(f"{path} is damaged or not an .npy ({error}). Restore it with `dvc checkout`.") from None
    wanted = all(expected in (None, length) for expected, length in zip(shape, array.shape, strict=False))
    if array.ndim != len(shape) or not wanted or array.dtype != np.dtype(dtype):
        raise ArtifactError(f"{path} holds {array.dtype}{list(array.shape)}, expected {dtype}{list(shape)}")
    return array
