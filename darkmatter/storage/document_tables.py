"""Tables of the documents that a command writes: rows in Markdown, between two marks of a file."""

from collections.abc import Sequence
from pathlib import Path

from darkmatter.storage.artifacts import ArtifactError


def lines(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    return "\n".join(["| " + " | ".join(row) + " |" for row in (head, ["---"] * len(head), *rows)])


def renewed(path: Path, text: str, marks: tuple[str, str]) -> str:
    """The document with these tables between its marks.

    Raises:
        ArtifactError: it has no such marks.
    """
    before, mark, rest = path.read_text(encoding="utf-8").partition(marks[0])
    _, end, after = rest.partition(marks[1])
    if not mark or not end:
        raise ArtifactError(f"{path} has no marks {' and '.join(marks)}. Run `git checkout {path}`.")
    return f"{before}{mark}\n\n{text}\n\n{end}{after}"
