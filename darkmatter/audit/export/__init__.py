"""Drafts for those who check or archive a reproduction: CODECHECK manifest, provenance crate, checklist.

A draft says so in its first line or field. A program fills in what the repository can answer and leaves the rest open:
nothing in here certifies anything.
"""

from pathlib import Path

from darkmatter.audit.export import checklist, codecheck, ro_crate
from darkmatter.audit.export.sources import read_sources

FOLDER = Path("export")  # git-ignored
KINDS = {"codecheck": codecheck.write, "ro-crate": ro_crate.write, "checklist": checklist.write}


def export(kind: str, out: Path, root: Path, with_files: bool = False) -> list[Path]:
    """Write one draft into the folder `out`, and return the files that a reader opens.

    Args:
        kind: of KINDS.
        root: the repository.
        with_files: of a crate: copy code, parameters and reports beside the metadata, so that it stands on its own.

    Raises:
        ArtifactError: the repository has no finished run, or a file is missing or not readable.
        ValueError: `with_files` for another kind.
    """
    if with_files and kind != "ro-crate":
        raise ValueError(f"--with-files is for ro-crate, not for {kind}")
    sources = read_sources(root)
    return ro_crate.write(out, sources, with_files) if with_files else KINDS[kind](out, sources)
