"""YAML with line numbers, so that an error about a value can name its line in the file."""

from collections.abc import Iterator, Sequence
from typing import Any

import yaml

Loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


def load_with_nodes(text: str) -> tuple[Any, yaml.Node | None]:
    """The content and the tree of nodes that know their lines.

    Raises:
        yaml.YAMLError: not valid YAML.
    """
    return yaml.load(text, Loader=Loader), yaml.compose(text, Loader=Loader)  # noqa: S506 (a safe loader)


def repeated_keys(node: yaml.Node | None) -> Iterator[tuple[int, str]]:
    """Keys that stand twice in one mapping, of which YAML would silently keep the last: (line, message)."""
    match node:
        case yaml.MappingNode():
            seen: set[str] = set()
            for key, value in node.value:
                if key.value in seen:
                    yield key.start_mark.line + 1, f"key {key.value!r} stands twice"
                seen.add(key.value)
                yield from repeated_keys(value)
        case yaml.SequenceNode():
            for value in node.value:
                yield from repeated_keys(value)


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
