"""For those who check or archive a reproduction: drafts of a CODECHECK manifest and of a provenance crate, a checklist.

A draft says so in its first line or field. A program fills in what the repository can answer and leaves the rest open:
nothing in here certifies anything.
"""

from pathlib import Path

from darkmatter.audit.export import checklist, codecheck, ro_crate
from darkmatter.audit.export.sources import read_sources


def export(kind: str, out: Path, root: Path, with_files: bool = False) -> list[Path]:
    """Write one of them into the folder `out`, and return the files that a reader opens.

    Args:
        kind: codecheck, ro-crate or checklist.
        root: the repository.
        with_files: of a crate: copy code, parameters and reports beside the metadata, so that it stands on its own.

    Raises:
        ArtifactError: the repository has no finished run, or a file is missing or not readable.
        ValueError: `with_files` for another kind.
    """
    if with_files and kind != "ro-crate":
        raise ValueError(f"--with-files is for ro-crate, not for {kind}")
    match kind:
        case "checklist":
            return checklist.write(out, root)
        case "codecheck":
            return codecheck.write(out, read_sources(root))
        case _:
            return ro_crate.write(out, read_sources(root), with_files)
