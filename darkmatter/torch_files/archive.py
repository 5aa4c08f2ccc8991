"""The zip that `torch.save` writes: its members held apart and against their checksums, tensors as views of its map."""

import zipfile
import zlib
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

import numpy as np

from darkmatter.storage.artifacts import CHUNK, ArtifactError
from darkmatter.storage.zip_members import SIGNATURE, data_offset
from darkmatter.torch_files.records import Storage, View

Mapped = tuple[np.ndarray, bool]  # a read-only map, and whether it is bfloat16 (then the map holds uint16)

PICKLE_LIMIT = 32 << 20  # bytes of data.pkl: some 200,000 tensors
ENCRYPTED = 1  # in a member's flags


@dataclass
class TorchArchive:
    """The zip of one file: its members' places checked, its bytes mapped once."""

    path: Path
    storages: dict[str, tuple[Storage, np.ndarray]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        with self.path.open("rb") as file:
            start = file.read(16)
            if not start.startswith(SIGNATURE):
                raise ArtifactError(other_format(self.path, start))
            with zipfile.ZipFile(file) as archive:
                members = archive.infolist()
                self.check(members)
                places = [(member, data_offset(file, member)) for member in members]
                check_apart(places, archive.start_dir)
        self.places = {member.filename: (offset, member) for member, offset in places}
        self.whole = np.memmap(self.path, np.uint8, "r").view(np.ndarray)

    def check(self, members: list[zipfile.ZipInfo]) -> None:
        names = [member.filename for member in members]
        if len(set(names)) != len(names):
            raise ArtifactError(f"{self.path} holds a member twice, so which one counts is unclear. Get it again.")
        if any("/code/" in name or name.endswith("/constants.pkl") for name in names):
            raise ArtifactError(
                f"{self.path} is TorchScript: it holds code, which is not run. Where you trust it: import torch; "
                f"torch.save(torch.jit.load({self.path.name!r}, 'cpu').state_dict(), 'new.pt')"
            )
        for member in members:
            if member.compress_type != zipfile.ZIP_STORED or member.compress_size != member.file_size:
                raise ArtifactError(
                    f"{self.path}: {member.filename} is compressed, which torch.save never does: it may unpack to any "
                    "size. Unzip it, or save its tensors again with torch.save."
                )
            if member.flag_bits & ENCRYPTED:
                raise ArtifactError(f"{self.path}: {member.filename} is encrypted. Save its tensors with torch.save.")

    @cached_property
    def root(self) -> str:
        """`archive/`, before the name of each member; torch takes the file's name for it."""
        results = [name for name in self.places if name.endswith("/data.pkl") and name.count("/") == 1]
        if len(results) != 1:
            raise ArtifactError(f"{self.path} is a zip, but not of torch.save: it has no data.pkl")
        return results[0].removesuffix("data.pkl")

    def pickle(self) -> bytes:
        if f"{self.root}byteorder" in self.places and bytes(self.content("byteorder")) != b"little":
            raise ArtifactError(f"{self.path} was written on a big-endian machine. Save it again on another one.")
        size = self.places[f"{self.root}data.pkl"][1].file_size
        if size > PICKLE_LIMIT:
            raise ArtifactError(f"{self.path}: data.pkl has {size} bytes, more than {PICKLE_LIMIT}. Join its tensors.")
        return bytes(self.content("data.pkl"))

    def content(self, name: str) -> np.ndarray:
        """A member's bytes, uint8, once they have the checksum that the zip says."""
        if f"{self.root}{name}" not in self.places:
            raise ArtifactError(f"{self.path} lacks {name}. It is damaged: get the file again.")
        offset, member = self.places[f"{self.root}{name}"]
        result = self.whole[offset : offset + member.file_size]
        checksum = 0
        for start in range(0, len(result), CHUNK):
            checksum = zlib.crc32(result[start : start + CHUNK].data, checksum)
        if len(result) != member.file_size or checksum != member.CRC:
            raise ArtifactError(f"{self.path}: {name} has another checksum than the zip says. Get the file again.")
        return result

    def numbers_of(self, storage: Storage) -> np.ndarray:
        """All bytes of a storage, checked once."""
        if storage.key not in self.storages:
            result = self.content(f"data/{storage.key}")
            if len(result) != storage.count * storage.itemsize:
                raise ArtifactError(
                    f"{self.path}: data/{storage.key} has {len(result)} bytes, not {storage.count} numbers of a "
                    f"{storage.type}. It is damaged: get the file again."
                )
            if storage.type == "BoolStorage" and result.size and result.max() > 1:
                raise ArtifactError(f"{self.path}: data/{storage.key} holds something else than true and false")
            self.storages[storage.key] = storage, result
        known, result = self.storages[storage.key]
        if known != storage:
            raise ArtifactError(f"{self.path}: data/{storage.key} is described in two ways. Get the file again.")
        return result

    def tensor(self, view: View, name: str) -> Mapped:
        """A view within its storage and with no more numbers than it."""
        what = f"{self.path}: {name or 'the tensor'}"
        result, dtype, width = self.numbers_of(view.storage), view.storage.dtype, view.storage.itemsize
        last = view.offset + sum((length - 1) * step for length, step in zip(view.size, view.stride, strict=True))
        if view.count and last >= view.storage.count:
            raise ArtifactError(f"{what} reaches beyond its storage. The file is damaged: get it again.")
        if view.count > view.storage.count:
            raise ArtifactError(
                f"{what} is an expanded view, {view.count} numbers of a storage of {view.storage.count}. Save it with "
                ".contiguous()."
            )
        if not view.count:
            return np.empty(view.size, dtype), view.storage.bfloat16
        strides = [width * (step if length > 1 else 1) for length, step in zip(view.size, view.stride, strict=True)]
        return np.ndarray(view.size, dtype, result, view.offset * width, strides), view.storage.bfloat16


def check_apart(places: list[tuple[zipfile.ZipInfo, int]], directory: int) -> None:
    """Each byte belongs to one member at most, and the first begins the file: then the sizes add up to the file's."""
    ends = 0
    for member, offset in sorted(places, key=lambda place: place[1]):
        if member.header_offset < ends or (ends == 0 and member.header_offset):
            raise zipfile.BadZipFile(f"{member.filename} begins within another member or behind foreign bytes")
        ends = offset + member.file_size
    if ends > directory:
        raise zipfile.BadZipFile("its members reach into the directory")


def other_format(path: Path, start: bytes) -> str:
    convert = f"Where you trust it: import torch; torch.save(torch.load({path.name!r}, 'cpu'), 'new.pt')"
    if start.startswith(b"\x80"):
        return (
            f"{path} is a bare pickle, as torch wrote before 1.6, and is not read: loading one runs whatever code is "
            f"in it. {convert}"
        )
    return f"{path} is no file of torch.save: it is no zip, but begins with {start!r}. {convert}"
