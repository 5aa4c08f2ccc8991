"""Token ids that a user saved: an .npy of any integers, [context, position]; other containers are named, not read."""

import zipfile
from pathlib import Path

import numpy as np

from darkmatter.storage.artifacts import ArtifactError

NPY, ZIP = b"\x93NUMPY", b"PK"
# The array in another container, as Python; NAME is its name there, LENGTH that of a context.
READ = {
    ".npz": "np.load('{}')['NAME']",
    ".pt": "torch.load('{}', weights_only=True).numpy()",
    ".pth": "torch.load('{}', weights_only=True).numpy()",
    ".safetensors": "safetensors.numpy.load_file('{}')['NAME']",
    ".bin": "np.fromfile('{}', dtype=np.uint16).reshape(-1, LENGTH)",
    ".csv": "np.loadtxt('{}', delimiter=',', dtype=np.int64, ndmin=2)",
    ".json": "np.array(json.load(open('{}')))",
}


def read_token_array(path: Path) -> np.ndarray:
    """A memory map of integers [context, position], in the integer type of the file.

    Raises:
        ArtifactError: no .npy (says how to make one of it), no integers, not [context, position], or empty.
    """
    if not path.is_file():
        raise ArtifactError(f"{path} {'is a folder' if path.is_dir() else 'does not exist'}: give --tokens FILE.npy")
    with path.open("rb") as file:
        start = file.read(len(NPY))
    if start != NPY:
        raise ArtifactError(other_container(path, start))
    try:
        ids = np.load(path, mmap_mode="r", allow_pickle=False)
    except (ValueError, OSError, EOFError) as error:
        raise ArtifactError(f"{path} is damaged, or holds Python objects ({error}). Save it again.") from None
    if ids.dtype.kind not in "iu":
        raise ArtifactError(
            f"{path} holds {ids.dtype}{list(ids.shape)}; token ids are integers. If these are ids: "
            f"`np.save('tokens.npy', np.load('{path}').astype(np.int64))`; activations go to --activations"
        )
    if ids.ndim != 2 or not ids.size:
        raise ArtifactError(
            f"{path} holds {ids.dtype}{list(ids.shape)}; needed is [context, position], neither of them 0. One long "
            f"text: `np.save('tokens.npy', ids[: len(ids) // LENGTH * LENGTH].reshape(-1, LENGTH))`"
        )
    return ids


def other_container(path: Path, start: bytes) -> str:
    """What is wrong with a file that is no .npy, and the line of Python that makes one of it."""
    kind = path.suffix.lower()
    if start.startswith(ZIP) and zipfile.is_zipfile(path):
        with zipfile.ZipFile(path) as archive:
            kind = ".npz" if all(name.endswith(".npy") for name in archive.namelist()) else ".pt"
    if kind not in READ:
        return f"{path} is no .npy. Save integers [context, position] with `np.save('tokens.npy', ids)`"
    read = READ[kind].format(path)
    return f"{path} is no .npy but {kind[1:]}. Convert it in Python: `np.save('tokens.npy', {read})`"
