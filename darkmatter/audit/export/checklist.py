"""The reproducibility checklist is a document, docs/checklist.md: its export is a copy whose links still lead here."""

import os
import urllib.parse
from pathlib import Path

from darkmatter.storage.artifacts import ArtifactError, write_text

DOCUMENT = Path("docs/checklist.md")
NAME = "reproducibility-checklist.md"
TO_ROOT = "](../"  # how each link of the document begins


def write(out: Path, root: Path) -> list[Path]:
    """Copy the checklist into the folder `out`, with links relative to that folder.

    Raises:
        ArtifactError: `root` is not the repository.
    """
    document, path = root / DOCUMENT, out / NAME
    if not document.is_file():
        raise ArtifactError(f"{document} does not exist: run this in the repository, or `git checkout {DOCUMENT}`")
    way_back = urllib.parse.quote(Path(os.path.relpath(root.resolve(), out.resolve())).as_posix())
    write_text(path, document.read_text(encoding="utf-8").replace(TO_ROOT, f"]({way_back}/"))
    return [path]
