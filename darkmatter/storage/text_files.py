"""Text files that people write: UTF-8 or what the byte-order mark says, with the line ends of any system.

A byte-order mark, a carriage return or a line end at the close of a document is the editor's, no part of the text:
kept, it would become a token of it.
"""

import codecs
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, TextIO

from darkmatter.storage.artifacts import ArtifactError

# UTF-32 first: its little-endian mark begins with that of UTF-16.
MARKS = (
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)


def encoding_of(start: bytes) -> str:
    """The codec that reads a text with these first bytes and drops its byte-order mark."""
    return next((codec for mark, codec in MARKS if start.startswith(mark)), "utf-8")


def lines_of(path: Path) -> Iterator[str]:
    """The lines of a file without their ends, which may be LF, CRLF or CR.

    Raises:
        ArtifactError: the file is not text.
    """
    try:
        with opened(path) as file:
            for line in file:
                if "\0" in line:
                    raise ArtifactError(
                        f"{path} holds NUL characters: it is no text, or UTF-16 without a byte-order mark. Convert it: "
                        f"`iconv -f UTF-16LE -t UTF-8 {path}`"
                    )
                yield line.removesuffix("\n")
    except UnicodeError as error:
        raise ArtifactError(
            f"{path} is not UTF-8 text ({error}). Convert it: `iconv -f ENCODING -t UTF-8 {path}`"
        ) from None


def text_of(path: Path) -> str:
    """A whole file with LF between its lines, without the line ends after the last.

    Raises:
        ArtifactError: the file is not text.
    """
    return "\n".join(lines_of(path)).rstrip("\n")


def json_of(path: Path) -> Any:
    """The content of a JSON file that this repository has not written itself.

    Raises:
        ArtifactError: the file is not JSON.
    """
    try:
        return json.loads(text_of(path))
    except ValueError as error:
        raise ArtifactError(f"{path} is not valid JSON ({error}). Correct it, or download or save it again.") from None


def opened(path: Path) -> TextIO:
    with path.open("rb") as file:
        start = file.read(max(len(mark) for mark, _ in MARKS))
    return path.open(encoding=encoding_of(start))
