"""YAML, also with line numbers, so that an error about a value can name its line in the file."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import yaml

DEEPEST = 100
Loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)  # in C: dvc.yaml is read in hundredths of a second


def load(text: str | bytes) -> Any:
    """The content, by a safe loader.

    Raises:
        yaml.YAMLError: not valid YAML.
    """
    return yaml.load(text, Loader=Loader)  # noqa: S506 - a safe loader


def read(path: Path) -> Any:
    """The content of a file.

    Raises:
        OSError: it cannot be read.
        UnicodeDecodeError: it is not UTF-8.
        yaml.YAMLError: not valid YAML.
    """
    return load(path.read_text(encoding="utf-8"))


def load_with_nodes(text: str) -> tuple[Any, yaml.Node | None]:
    """The content and the tree of nodes that know their lines.

    Raises:
        yaml.YAMLError: not valid YAML, or nested deeper than DEEPEST.
    """
    depth = 0
    for event in yaml.parse(text, Loader=Loader):  # the loader in C ends the process where its stack ends
        depth += isinstance(event, yaml.CollectionStartEvent) - isinstance(event, yaml.CollectionEndEvent)
        if depth > DEEPEST:
            raise yaml.YAMLError(f"lists or mappings in each other, more than {DEEPEST} deep")
    return load(text), yaml.compose(text, Loader=Loader)


def repeated_keys(node: yaml.Node | None) -> Iterator[tuple[int, str]]:
    """Keys that stand twice in one mapping, of which YAML would silently keep the last: (line, message)."""
    for part in nodes(node):
        seen: set[str] = set()
        for key, _ in part.value if isinstance(part, yaml.MappingNode) else []:
            if key.value in seen:
                yield key.start_mark.line + 1, f"key {key.value!r} stands twice"
            seen.add(key.value)


def nodes(node: yaml.Node | None) -> Iterator[yaml.Node]:
    """A node and all below it, each once, however many aliases lead to it."""
    met: set[int] = set()
    left = [] if node is None else [node]
    while left:
        part = left.pop()
        if id(part) in met:
            continue
        met.add(id(part))
        yield part
        match part:
            case yaml.MappingNode():
                left += [value for _, value in reversed(part.value)]
            case yaml.SequenceNode():
                left += reversed(part.value)


def line_of(node: yaml.Node | None, place: Sequence[str | int]) -> int:
    """The line of `place` in the file, or of the innermost part of it that exists."""
    line = 1 if node is None else node.start_mark.line + 1
    for part in place:
        match node:
            case yaml.MappingNode():
                result = next(((key, value) for key, value in node.value if key.value == str(part)), None)
                if result is None:
                    return line
                line, node = result[0].start_mark.line + 1, result[1]
            case yaml.SequenceNode() if isinstance(part, int):
                node = node.value[part]
                line = node.start_mark.line + 1
            case _:
                return line
    return line
