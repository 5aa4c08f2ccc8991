"""What a torch file's pickle may ask for by name, and the inert records that stand for it.

Nothing here imports torch or calls what a file names.
"""

import math
from dataclasses import dataclass
from typing import Any

import numpy as np

from darkmatter.storage.artifacts import ArtifactError

STORAGES = {  # how the numbers of each lie in the file; bfloat16 as the upper half of a float32
    "FloatStorage": "<f4",
    "HalfStorage": "<f2",
    "BFloat16Storage": "<u2",
    "DoubleStorage": "<f8",
    "LongStorage": "<i8",
    "IntStorage": "<i4",
    "ShortStorage": "<i2",
    "CharStorage": "|i1",
    "ByteStorage": "|u1",
    "BoolStorage": "|b1",
}
MOST_DIMENSIONS = 32


@dataclass(frozen=True)
class Name:
    """What a pickle asks for by name. It stays a name."""

    module: str
    name: str


ORDERED_DICT = Name("collections", "OrderedDict")
TENSOR = Name("torch._utils", "_rebuild_tensor_v2")
PARAMETER = Name("torch._utils", "_rebuild_parameter")
NAMES = {ORDERED_DICT, TENSOR, PARAMETER} | {Name("torch", name) for name in STORAGES}


@dataclass(frozen=True)
class Storage:
    """`count` numbers of a type of `STORAGES` in the member data/`key`."""

    type: str
    key: str
    count: int

    @property
    def bfloat16(self) -> bool:
        return self.type == "BFloat16Storage"

    @property
    def dtype(self) -> np.dtype:
        return np.dtype(STORAGES[self.type])

    @property
    def itemsize(self) -> int:
        return self.dtype.itemsize


@dataclass(frozen=True)
class View:
    """A tensor: part of a storage. `offset` and `stride` count numbers, none is negative."""

    storage: Storage
    offset: int
    size: tuple[int, ...]
    stride: tuple[int, ...]

    @property
    def count(self) -> int:
        return math.prod(self.size)


class Ordered(dict):
    """An OrderedDict of the file, which alone may have a state."""


def check_name(name: Name, where: str) -> Name:
    if name not in NAMES:
        raise refused(where, f"`{name.module}.{name.name}`")
    return name


def refused(where: str, what: str) -> ArtifactError:
    return ArtifactError(
        f"{where} holds {what}, which no tensor needs: it would run as code, so the file is refused and nothing of it "
        "has run. Where you trust who made it, save its tensors alone: torch.save({name: tensor, …}, 'new.pt')."
    )


def damaged(where: str, why: str) -> ArtifactError:
    return ArtifactError(f"{where}: its data.pkl is damaged or not written by torch.save ({why}). Get the file again.")


def storage_of(value: Any) -> Storage:
    kind, type_, key, location, count = value
    named = isinstance(type_, Name) and type_.module == "torch" and type_.name in STORAGES
    if kind != "storage" or not named or type(key) is not str or type(location) is not str or not natural(count):
        raise ValueError("a storage that is none")
    return Storage(type_.name, key, count)


def made(name: Any, arguments: Any, where: str) -> Ordered | View:
    """What torch's own functions would make of these arguments, as a record."""
    if type(arguments) is not tuple:
        raise TypeError("arguments that are no tuple")
    if name == ORDERED_DICT and not arguments:
        return Ordered()
    if name == PARAMETER:
        tensor, _, hooks = arguments
        if not isinstance(tensor, View) or hooks:
            raise refused(where, "a parameter with hooks")
        return tensor
    if name != TENSOR:
        raise refused(where, f"a call of {name!r}"[:200])
    storage, offset, size, stride, _, hooks, *more = arguments
    if hooks or any(more):  # the 7th says that a view is negated or conjugated
        raise refused(where, "a tensor with hooks or metadata")
    shape = type(size) is type(stride) is tuple and len(size) == len(stride) <= MOST_DIMENSIONS
    if type(storage) is not Storage or not shape or not all(map(natural, (offset, *size, *stride))):
        raise ValueError("a tensor with no storage, or with a negative size, offset or stride")
    return View(storage, offset, size, stride)


def natural(number: Any) -> bool:
    return type(number) is int and number >= 0
