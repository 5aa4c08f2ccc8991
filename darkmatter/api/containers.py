"""Files and folders that hold activations, as an array, a list of contexts or an iterator of them.

Read: .npy, .npz, .safetensors, .pt and .pth of tensors alone, a folder that `datasets` saved (as sae-lens's cache of
activations is), and a folder of such files. Of several arrays in one file one is chosen as FILE:NAME. Whatever could
run code, or needs a library that is not here, is refused with the line of Python that converts it.
"""

import shutil
import tokenize
import zipfile
import zlib
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import safetensors
from torch import Tensor

from darkmatter.api.arrow_rows import is_dataset, read_dataset
from darkmatter.api.numbers import as_float32
from darkmatter.api.ordering import by_number
from darkmatter.models.safetensors_names import names_of
from darkmatter.storage.artifacts import ArtifactError
from darkmatter.torch_files.read import map_tensors

SHOWN = 10  # names in a message
SAVE = 'numpy.save("acts.npy", {})'
LINES = {  # what turns other containers into an .npy
    ".parquet": SAVE.format('numpy.stack([numpy.stack(x) for x in pandas.read_parquet("{path}")["NAME"]])'),
    ".arrow": SAVE.format('datasets.Dataset.from_file("{path}").with_format("numpy")["NAME"]'),
    ".h5": SAVE.format('h5py.File("{path}")["NAME"][:]'),
    ".zarr": SAVE.format('zarr.open("{path}")[:]'),
    ".pkl": SAVE.format('numpy.asarray(pickle.load(open("{path}", "rb")))'),
    ".csv": SAVE.format('numpy.loadtxt("{path}", delimiter=",", dtype="float32")'),
}
LINES[".gz"] = "gunzip {path}"
LINES |= {".hdf5": LINES[".h5"], ".pickle": LINES[".pkl"], ".bin": SAVE.format('torch.load("{path}").float().numpy()')}


def split_name(path: Path) -> tuple[Path, str | None]:
    """FILE and NAME of FILE:NAME; of a path that exists, the path."""
    if path.exists() or ":" not in path.name:
        return path, None
    file, _, name = str(path).rpartition(":")
    return Path(file), name


def open_container(path: Path, scratch: Path, what: str) -> Any:
    """What a file or folder holds, mapped rather than read where its format allows that.

    Args:
        path: of a file or folder, or FILE:NAME.
        scratch: an .npy to be written where the format has none to map.
        what: name of the activations in errors.

    Raises:
        ArtifactError: missing, damaged, several arrays, or a format that is not read.
    """
    path, name = split_name(path)
    if not path.exists():
        raise ArtifactError(f"{what}: {path} does not exist")
    kind = path.suffix.lower()
    if kind == ".zarr" or (path.is_file() and kind in LINES):
        line = LINES[kind].format(path=path)
        raise ArtifactError(f"{what}: {path} is a {kind} file, which is not read here; convert it: {line}")
    if path.is_dir():
        return read_dataset(path, name, what) if is_dataset(path) else read_shards(path, scratch, what)
    readers = {".npz": read_npz, ".safetensors": read_safetensors, ".pt": read_tensor_file, ".pth": read_tensor_file}
    return readers.get(kind, read_npy)(path, name, scratch, what)


def choose(names: Iterable[str], name: str | None, path: Path, what: str) -> str:
    """The array that is meant: the only one, or the named one."""
    names = list(names)
    if name in names:
        return name
    if name is None and len(names) == 1:
        return names[0]
    known = ", ".join(sorted(names)[:SHOWN]) or "none"
    more = f" and {len(names) - SHOWN:,} more" if len(names) > SHOWN else ""
    raise ArtifactError(f"{what}: {path} holds the arrays {known}{more}; choose one as {path}:NAME")


def check_once(names: Iterable[str], path: Path, what: str) -> None:
    """Refuse a file that names two arrays alike: libraries take either of them in silence."""
    names = list(names)
    if twice := sorted({name for name in names if names.count(name) > 1}):
        raise ArtifactError(f"{what}: {path} holds {twice[0]} twice, so which one counts is unclear. Save it again")


def read_npy(path: Path, name: str | None, scratch: Path, what: str) -> np.memmap:
    if name is not None:
        raise ArtifactError(f"{what}: {path} holds one array, without a name; leave out :{name}")
    return map_npy(path, f"{what}: {path}")


def map_npy(path: Path, where: str) -> np.memmap:
    try:
        return np.lib.format.open_memmap(path, mode="r")  # np.load would take a zip too
    except (ValueError, OSError, EOFError, tokenize.TokenError) as error:
        raise ArtifactError(
            f"{where} is no .npy ({error}); write one with numpy.save(path, array), float32 "
            "[context, position, d_model]. Contexts of several lengths: numpy.concatenate(contexts), with the context "
            "of each row (context_ids, --context-ids)"
        ) from None


def read_npz(path: Path, name: str | None, scratch: Path, what: str) -> np.memmap:
    """The member, unpacked so that it can be mapped."""
    try:
        with zipfile.ZipFile(path) as archive:
            check_once(archive.namelist(), path, what)
            name = choose((member.removesuffix(".npy") for member in archive.namelist()), name, path, what)
            with archive.open(f"{name}.npy") as member, scratch.open("wb") as file:
                shutil.copyfileobj(member, file)
    except (OSError, EOFError, KeyError, NotImplementedError, zipfile.BadZipFile, zlib.error) as error:
        raise ArtifactError(f"{what}: {path} is no .npz ({error})") from None
    return map_npy(scratch, f"{what}: {name} of {path}")


def read_safetensors(path: Path, name: str | None, scratch: Path, what: str) -> Tensor:
    try:
        with safetensors.safe_open(path, framework="pt") as file:
            check_once(names_of(path), path, what)
            return file.get_tensor(choose(file.keys(), name, path, what))
    except safetensors.SafetensorError as error:
        raise ArtifactError(f"{what}: {path} is no .safetensors ({error})") from None


def read_tensor_file(path: Path, name: str | None, scratch: Path, what: str) -> Any:
    result = map_tensors(path)
    if isinstance(result, dict):
        return readable(*result[choose(result, name, path, what)])
    if name is not None:
        raise ArtifactError(f"{what}: {path} holds no named arrays; leave out :{name}")
    if isinstance(result, list):
        return joined([readable(*tensor) for tensor in result], f"{what}: {path}")
    return readable(*result)


def readable(tensor: np.ndarray, bfloat16: bool) -> np.ndarray:
    """The tensor as `numbers` reads it."""
    return tensor.view("V2") if bfloat16 else tensor


def read_shards(folder: Path, scratch: Path, what: str) -> Any:
    """All arrays of a folder, in the order of the numbers in their names."""
    suffixes = (".npy", ".npz", ".safetensors", ".pt", ".pth")
    files = [file for file in folder.iterdir() if file.suffix.lower() in suffixes]
    files.sort(key=lambda file: by_number(file.name))
    if not files or len({file.suffix.lower() for file in files}) > 1:
        kinds = ", ".join(sorted({file.suffix.lower() for file in files})) or "none of " + ", ".join(suffixes)
        raise ArtifactError(f"{what}: {folder} is read as shards of one kind, but holds {kinds}")
    shards = [
        open_container(file, scratch.with_name(f"{scratch.stem}.{number}.npy"), what)
        for number, file in enumerate(files)
    ]
    if any(isinstance(shard, list) for shard in shards):
        return [context for shard in shards for context in (shard if isinstance(shard, list) else [shard])]
    if {shard.ndim for shard in shards} == {2}:
        return rows_joined(shards, scratch, f"{what}: {folder}")
    return joined(shards, f"{what}: {folder}")


def joined(parts: list[Any], where: str) -> Any:
    """Contexts of several arrays: [position, d_model] is one context, [context, position, d_model] are several."""
    dims = {part.ndim for part in parts}
    if dims == {2}:
        return parts
    if dims == {3}:
        return (context for part in parts for context in part)
    raise ArtifactError(
        f"{where}: arrays of {sorted(dims)} axes; all must be [position, d_model], one context each, or all "
        "[context, position, d_model]"
    )


def rows_joined(parts: list[Any], scratch: Path, where: str) -> np.memmap:
    """The rows of several arrays [row, d_model], one after the other: files say nothing of where contexts end."""
    widths = {part.shape[1] for part in parts}
    if len(widths) > 1:
        raise ArtifactError(f"{where}: shards of d_model {sorted(widths)}; one hookpoint at a time")
    shape = (sum(map(len, parts)), widths.pop())
    rows = np.lib.format.open_memmap(scratch, mode="w+", dtype=np.float32, shape=shape)
    start = 0
    for number, part in enumerate(parts):
        for values in pieces(part):
            rows[start : start + len(values)] = as_float32(values, number, where)
            start += len(values)
    return rows


def pieces(part: Any) -> Iterator[Any]:
    return (part[start : start + 8192] for start in range(0, len(part), 8192))
