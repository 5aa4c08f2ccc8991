"""What can be wrong with a file: functions that change one in place."""

import io
import json
import os
import shutil
import struct
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import torch
from safetensors.numpy import load_file, save_file

from tests.faults.loaders import ROWS

Damage = Callable[[Path], None]
ARROW_FILE, STATE_FILE = "data-00000-of-00001.arrow", "state.json"


def cut(size: int) -> Damage:
    return lambda path: os.truncate(path, size)


def flipped(place: int, bit: int) -> Damage:
    def damage(path: Path) -> None:
        content = bytearray(path.read_bytes())
        content[place] ^= 1 << bit
        path.write_bytes(content)

    return damage


def rewritten(change: Callable[[dict[str, np.ndarray]], object]) -> Damage:
    """Damage to the tensors of a safetensors, .npz or .pt file."""

    def damage(path: Path) -> None:
        arrays = tensors_of(path)
        change(arrays)
        arrays = {name: np.ascontiguousarray(array) for name, array in arrays.items()}
        if path.suffix == ".npz":
            np.savez(path, **arrays)
        elif path.suffix == ".pt":
            torch.save({name: torch.from_numpy(array) for name, array in arrays.items()}, path)
        else:
            save_file(arrays, path, {"format": "pt"})

    return damage


def tensors_of(path: Path) -> dict[str, np.ndarray]:
    if path.suffix == ".npz":
        return dict(np.load(path))
    if path.suffix == ".pt":
        return {name: tensor.numpy().copy() for name, tensor in torch.load(path, weights_only=True).items()}
    return load_file(path)


def put(name: str, place: Any, value: float) -> Damage:
    return rewritten(lambda arrays: arrays[name].__setitem__(place, value))


def without(name: str) -> Damage:
    return rewritten(lambda arrays: arrays.pop(name))


def turned(name: str) -> Damage:
    return rewritten(lambda arrays: arrays.update({name: arrays[name].T}))


def whole(name: str) -> Damage:
    return rewritten(lambda arrays: arrays.update({name: arrays[name].astype(np.int32)}))


def cut_row(name: str) -> Damage:
    return rewritten(lambda arrays: arrays.update({name: arrays[name][:-1]}))


def added(name: str) -> Damage:
    return rewritten(lambda arrays: arrays.update({name: np.zeros(3, np.float32)}))


def saved(array: np.ndarray) -> Damage:
    return lambda path: np.save(path, array)


def replaced(**arrays: np.ndarray) -> Damage:
    return lambda path: np.savez(path, **arrays)


def bare(path: Path) -> None:
    """Numbers without a header."""
    path.write_bytes(ROWS.tobytes())


def header(change: Callable[[bytes], bytes], length: int | None = None) -> Damage:
    """Another JSON header of a safetensors file, and the length that the file says it has."""

    def damage(path: Path) -> None:
        content = path.read_bytes()
        end = 8 + int.from_bytes(content[:8], "little")
        text = change(content[8:end])
        path.write_bytes((length or len(text)).to_bytes(8, "little") + text + content[end:])

    return damage


def twice(text: bytes) -> bytes:
    """The first tensor of a header is named again, with its own entry."""
    content = json.loads(text)
    content.pop("__metadata__", None)
    name, entry = next(iter(content.items()))
    return text.rstrip()[:-1] + f', "{name}": {json.dumps(entry)}'.encode() + b"}"


def npy_with(shape: tuple[int, ...], dtype: str = "<f4") -> Damage:
    """A header that promises more than any memory holds."""

    def damage(path: Path) -> None:
        head = io.BytesIO()
        np.lib.format.write_array_header_1_0(head, {"descr": dtype, "fortran_order": False, "shape": shape})
        path.write_bytes(head.getvalue() + b"\0" * 64)

    return damage


def json_twice(key: str, value: Any) -> Damage:
    """A key again at the end: Python's reader takes the last."""

    def damage(path: Path) -> None:
        text = path.read_text().rstrip()
        path.write_text(f'{text[:-1]}, "{key}": {json.dumps(value)}}}')

    return damage


def appended(text: str) -> Damage:
    return lambda path: path.write_text(path.read_text() + text) and None


def deep(path: Path) -> None:
    """Lists in lists, deeper than a reader's stack."""
    path.write_text("[" * 100_000 + "]" * 100_000)


def deep_yaml(path: Path) -> None:
    path.write_text("a: " + "[" * 200_000 + "]" * 200_000)


def yaml_bomb(path: Path) -> None:
    """Ten levels of nine aliases each: billions of entries if each were copied."""
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]" for n in range(1, 10)]
    path.write_text("\n".join(lines))


def zip_twice(path: Path) -> None:
    """A member again under its name, with other content."""
    with zipfile.ZipFile(path) as archive:
        name = next(name for name in archive.namelist() if not name.endswith(".pkl"))
        content = archive.read(name)
    with zipfile.ZipFile(path, "a") as archive:
        archive.writestr(name, content[:-4] + b"\0\0\x80?")


def member(name: str, link: bool = False) -> Damage:
    """A member that would be written outside, or that is a link to what is outside."""

    def damage(path: Path) -> None:
        info = zipfile.ZipInfo(name)
        info.external_attr = (0o120777 if link else 0o100644) << 16
        with zipfile.ZipFile(path, "a") as archive:
            archive.writestr(info, "/etc/passwd")

    return damage


def claims(size: int) -> Damage:
    """The directory of a zip says that its first member unpacks to so many bytes."""

    def damage(path: Path) -> None:
        content = bytearray(path.read_bytes())
        place = content.index(b"PK\1\2")
        content[place + 24 : place + 28] = struct.pack("<I", size)
        path.write_bytes(content)

    return damage


def elsewhere(path: Path) -> None:
    """The state of a folder of `datasets` names a file outside the folder."""
    shutil.copy(path.with_name(ARROW_FILE), path.parents[1] / "outside.arrow")
    path.write_text(json.dumps({"_data_files": [{"filename": "../outside.arrow"}], "_indices_data_files": None}))


def index_elsewhere(path: Path) -> None:
    """The index of a model's weights names a file outside the folder."""
    outside = path.parents[1] / "outside.safetensors"
    names = list(load_file(path))
    path.rename(outside)
    shutil.copy(outside, path.with_name("part.safetensors"))
    index = {"metadata": {}, "weight_map": dict.fromkeys(names, "../outside.safetensors")}
    path.with_name("model.safetensors.index.json").write_text(json.dumps(index))


def linked_elsewhere(path: Path) -> None:
    """The file is a link to another model's."""
    outside = path.parents[1] / "other.safetensors"
    arrays = load_file(path)
    save_file({name: array + 1 for name, array in arrays.items()}, outside, {"format": "pt"})
    path.unlink()
    path.symlink_to(outside)


def other_tokenizer(path: Path) -> None:
    """Another model's tokenizer: two tokens have changed places."""
    content = json.loads(path.read_text())
    vocabulary = content["model"]["vocab"]
    a, b = list(vocabulary)[:2]
    vocabulary[a], vocabulary[b] = vocabulary[b], vocabulary[a]
    path.write_text(json.dumps(content))


def gguf_count(place: int, count: int) -> Damage:
    """A count of a GGUF header: of tensors (at 8) or of entries (at 16)."""

    def damage(path: Path) -> None:
        content = bytearray(path.read_bytes())
        content[place : place + 8] = struct.pack("<Q", count)
        path.write_bytes(content)

    return damage


def renamed(old: bytes, new: bytes) -> Damage:
    def damage(path: Path) -> None:
        content = path.read_bytes()
        assert old in content and len(old) == len(new)
        path.write_bytes(content.replace(old, new))

    return damage


def gguf_value(value: float) -> Damage:
    """The last float32 of the file that is 1: a weight of a norm."""

    def damage(path: Path) -> None:
        content = bytearray(path.read_bytes())
        place = content.rindex(struct.pack("<f", 1.0))
        content[place : place + 4] = struct.pack("<f", value)
        path.write_bytes(content)

    return damage


def write_arrow(path: Path, rows: list[Any]) -> None:
    table = pa.table({"x": pa.array(rows, pa.list_(pa.float32()))})
    with pa.ipc.new_stream(path, table.schema) as stream:
        stream.write_table(table)


def arrow_hole(path: Path) -> None:
    """A vector with an empty entry."""
    rows: list[list[float | None]] = ROWS.reshape(15, 8).tolist()
    rows[7][3] = None
    write_arrow(path, rows)


def arrow_ragged(path: Path) -> None:
    write_arrow(path, [[1.0, 2.0], [3.0]])
