"""Files of `torch.save` that hold tensors alone, mapped without torch and without running anything of them.

Such a file is a zip: data.pkl says which tensors there are (`machine` reads it), data/0, data/1 … hold their
numbers. Members are stored, never compressed, so tensors are views of a map of the file; the sum of their sizes is
bounded by the file's.
"""

import zipfile
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from darkmatter.storage.artifacts import ArtifactError
from darkmatter.torch_files.archive import Mapped, TorchArchive
from darkmatter.torch_files.machine import read_pickle
from darkmatter.torch_files.records import View

MOST_ENTRIES, MOST_LEVELS = 1_000_000, 16  # a few bytes can describe lists in lists without end
MOST_TIMES = 8  # what all tensors hold together, in sizes of the file: tensors may share a storage
SHOWN = 60  # characters of a value in a message


def map_tensors(path: Path) -> dict[str, Mapped] | list[Mapped] | Mapped:
    """The tensors of a file of `torch.save`: a dict of them, a list of them or a single one, as it was saved.

    Dicts and lists in a dict are flattened: {"a": {"b": [tensor]}} is "a.b.0".

    Raises:
        ArtifactError: another format, damaged, or something else than tensors is in it; nothing of it has run.
    """
    try:
        archive = TorchArchive(path)
        content = read_pickle(archive.pickle(), str(path))
        if isinstance(content, list | tuple) and not all(isinstance(part, View) for part in content):
            raise ArtifactError(f"{path} holds a list of something else than tensors. Save a dict or list of tensors.")
        result = by_name(content, path)
        check_total(result.values(), path)
        tensors = {name: archive.tensor(view, name) for name, view in result.items()}
    except FileNotFoundError:
        raise ArtifactError(f"{path} does not exist") from None
    except (zipfile.BadZipFile, NotImplementedError, OSError, EOFError, ValueError, OverflowError) as error:
        raise ArtifactError(f"{path} is truncated or damaged ({error}). Get the file again.") from None
    if isinstance(content, View):
        return tensors[""]
    return list(tensors.values()) if isinstance(content, list | tuple) else tensors


def leaves(content: Any, path: Path) -> Iterator[tuple[str, View]]:
    """(name, view) of each tensor, names unique; a plain value is refused: it would be left out in silence."""
    waiting, entries = [("", content, 0)], 0
    while waiting:
        name, result, level = waiting.pop()
        if isinstance(result, View):
            yield name, result
        elif isinstance(result, dict | list | tuple):
            entries += len(result)
            if entries > MOST_ENTRIES or level > MOST_LEVELS:
                raise ArtifactError(f"{path} holds more than {MOST_ENTRIES} entries or {MOST_LEVELS} levels of dicts")
            items = result.items() if isinstance(result, dict) else enumerate(result)
            children = [(f"{name}.{key}" if level else str(key), value, level + 1) for key, value in items]
            waiting.extend(reversed(children))
        else:
            raise ArtifactError(
                f"{path}: {name or 'its content'} is {repr(result)[:SHOWN]}, not a tensor. Only files that hold "
                "tensors alone are read: save them alone, torch.save({name: tensor, …}, 'new.pt')."
            )


def by_name(content: Any, path: Path) -> dict[str, View]:
    result: dict[str, View] = {}
    for name, view in leaves(content, path):
        if name in result:
            raise ArtifactError(f"{path} holds two tensors named {name}. Save it under other names.")
        result[name] = view
    return result


def check_total(views: Iterable[View], path: Path) -> None:
    size = sum(view.count * view.storage.itemsize for view in views)
    if size > MOST_TIMES * path.stat().st_size:
        raise ArtifactError(f"{path} describes tensors of {size} bytes, more than {MOST_TIMES} times its own size")
