"""The names in a safetensors file as they stand there: the library itself takes the last of two alike."""

import json
from pathlib import Path


def names_of(path: Path) -> list[str]:
    """The names of its tensors in the order of the header, one that stands twice both times.

    The file is one that safetensors has opened, so its header is whole.
    """
    with path.open("rb") as file:
        header = file.read(int.from_bytes(file.read(8), "little"))
    pairs: list[tuple[str, object]] = json.loads(header, object_pairs_hook=lambda pairs: pairs)
    return [name for name, _ in pairs if name != "__metadata__"]
