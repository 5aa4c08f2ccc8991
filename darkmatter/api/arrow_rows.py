"""Activations in a folder that `datasets` saved (`save_to_disk`), such as sae-lens's cache: read with pyarrow alone."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from darkmatter.saes.published.strict_json import strict_json
from darkmatter.storage.artifacts import ArtifactError

STATE = "state.json"


def is_dataset(folder: Path) -> bool:
    return (folder / STATE).is_file() or (folder / "dataset_dict.json").is_file()


def read_dataset(folder: Path, name: str | None, what: str) -> "ArrowRows | np.ndarray":
    """The one column of float vectors: contexts where a row of the dataset is [position, d_model], else flat rows.

    Raises:
        ArtifactError: several such columns or splits, a shuffled index, or a damaged file.
    """
    if not (folder / STATE).is_file():
        splits = ", ".join(f"{folder}/{part}" for part in strict_json(folder / "dataset_dict.json")["splits"])
        raise ArtifactError(f"{what}: {folder} holds several splits; choose one of {splits}")
    state = strict_json(folder / STATE)
    if state.get("_indices_data_files"):
        raise ArtifactError(
            f'{what}: {folder} is an index into a dataset; write it out first: datasets.load_from_disk("{folder}")'
            '.flatten_indices().save_to_disk("acts")'
        )
    try:
        names = [file["filename"] for file in state["_data_files"]]
        if outside := [name for name in names if Path(name).name != name]:
            raise ArtifactError(f"{what}: {folder / STATE} names {outside[0]}, which is no file of this folder")
        files = [pa.memory_map(str(folder / name)) for name in names]
        batches = [batch for file in files for batch in pa.ipc.open_stream(file)]
    except (OSError, pa.ArrowInvalid, KeyError, TypeError) as error:
        raise ArtifactError(f"{what}: {folder} is damaged or no dataset ({error})") from None
    if not batches:
        raise ArtifactError(f"{what}: {folder} has no row")
    depths = {field.name: depth_of(field.type) for field in batches[0].schema}
    columns = [column for column, depth in depths.items() if depth]
    if name is None and len(columns) == 1:
        name = columns[0]
    if name not in columns:
        known = ", ".join(sorted(columns)) or "none"
        raise ArtifactError(f"{what}: {folder} has the columns of vectors {known}; choose one as {folder}:NAME")
    parts = [plain(batch.column(name)) for batch in batches]
    if any(part.null_count for part in parts):
        raise ArtifactError(f"{what}: column {name} of {folder} has empty entries; leave those rows out first")
    if depths[name] == 1:
        return np.concatenate([matrix(part, what) for part in parts])
    if depths[name] > 2:
        raise ArtifactError(
            f"{what}: a row of column {name} of {folder} has {depths[name]} axes, not [position, d_model]: heads "
            "are flattened first"
        )
    return ArrowRows(parts, what)


class ArrowRows:
    """Contexts of a column, one at a time: the file stays mapped."""

    def __init__(self, parts: list[pa.Array], what: str) -> None:
        self.parts, self.what = parts, what

    def __iter__(self) -> Iterator[np.ndarray]:
        return (matrix(part[row : row + 1].flatten(), self.what) for part in self.parts for row in range(len(part)))


def plain(array: pa.Array) -> pa.Array:
    """A column without `datasets`' own type around its lists."""
    return array.storage if isinstance(array, pa.ExtensionArray) else array


def depth_of(kind: Any) -> int:
    """How many lists stand around floats; 0 of anything else, token ids among them."""
    kind, depth = getattr(kind, "storage_type", kind), 0
    while is_list(kind):
        kind, depth = kind.value_type, depth + 1
    return depth if pa.types.is_floating(kind) else 0


def is_list(kind: pa.DataType) -> bool:
    return pa.types.is_list(kind) or pa.types.is_large_list(kind) or pa.types.is_fixed_size_list(kind)


def matrix(vectors: pa.Array, what: str) -> np.ndarray:
    """[row, d_model] of an array of lists."""
    values = vectors.flatten()
    width, rest = divmod(len(values), max(len(vectors), 1))
    ends = vectors.value_lengths() if hasattr(vectors, "value_lengths") else None
    if rest or values.null_count or (ends is not None and not pc.all(pc.equal(ends, width)).as_py()):
        raise ArtifactError(f"{what}: vectors of different length, or with empty entries, in one column")
    return values.to_numpy(zero_copy_only=False).reshape(len(vectors), width)
