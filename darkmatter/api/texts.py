"""Documents that a user has as text: a file with one per line, or a folder with one per file.

Of another container (compressed, JSON, `datasets`) the error has the line that makes texts of it: its own marks, read
as text, would become tokens.
"""

import json
from collections.abc import Iterator
from pathlib import Path

from darkmatter.api.arrow_rows import is_dataset
from darkmatter.storage.artifacts import ArtifactError
from darkmatter.storage.text_files import lines_of, text_of

GZIP = b"\x1f\x8b"
MARK = "\ufeff"  # within a file it begins a line where files were joined
JSON_LINES = (".jsonl", ".ndjson")
WRITE = (
    "import json, pathlib; pathlib.Path('texts').mkdir(); "
    "[pathlib.Path('texts', f'{{i:07}}.txt').write_text({text}, encoding='utf-8') for i, row in enumerate({rows})]"
)


def documents(text: Path) -> Iterator[dict[str, str]]:
    """One document per line of a file, or per file of a folder; blank ones and hidden files are none.

    Raises:
        ArtifactError: there is no such file, or it is another container of texts.
    """
    if not text.exists():
        raise ArtifactError(f"{text} does not exist")
    if is_dataset(text):
        line = WRITE.format(text="row['text']", rows=f"datasets.load_from_disk('{text}')")
        raise ArtifactError(f"{text} is a folder of `datasets`; write its texts out: {line}")
    files = [text]
    if text.is_dir():
        files = sorted(file for file in text.iterdir() if file.is_file() and not file.name.startswith("."))
    for file in files:
        check_text(file)
    if text.is_dir():
        pieces = ((file.name, text_of(file)) for file in files)
    else:
        pieces = ((f"line {number}", line) for number, line in enumerate(lines_of(text), 1))
    for name, piece in pieces:
        piece = piece.removeprefix(MARK)
        if piece.strip():
            yield {"id": name, "source": name, "domain": "text", "text": piece}


def check_text(file: Path) -> None:
    """Refuse a compressed file, and JSON whose braces and keys would become tokens."""
    with file.open("rb") as opened:
        compressed = opened.read(len(GZIP)) == GZIP
    if compressed:
        raise ArtifactError(f"{file} is compressed; unpack it: gunzip {file}")
    if file.suffix.lower() in JSON_LINES or is_object(next((line for line in lines_of(file) if line.strip()), "")):
        line = WRITE.format(text="json.loads(row)['text']", rows=f"open('{file}', encoding='utf-8-sig')")
        raise ArtifactError(
            f"{file} holds JSON, whose braces and keys would be tokens. Write its texts out, and give "
            f"--text texts: {line}"
        )


def is_object(line: str) -> bool:
    try:
        return isinstance(json.loads(line), dict)
    except ValueError:
        return False
