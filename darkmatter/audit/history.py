"""What git has of this repository."""

import json
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from darkmatter.storage.artifacts import ArtifactError, read_json
from darkmatter.storage.paths import BEFORE_FOLDERS, REPORTS, ReportFolder, reports_of


def git(root: Path, *words: str) -> bytes | None:
    """Standard output of a git command; None where it fails, or there is no git."""
    try:
        done = subprocess.run(["git", *words], cwd=root, capture_output=True, check=False)
    except FileNotFoundError:
        return None
    return done.stdout if done.returncode == 0 else None


def content_at(root: Path, commit: str, path: Path) -> Any:
    """A JSON file of a commit, or, with "", of the working tree; None where there is none, or it is damaged."""
    try:
        if not commit:
            return read_json(root / path)
        text = git(root, "show", f"{commit}:./{path.as_posix()}")  # `./`: root may lie inside a repository
        return json.loads(text) if text else None
    except (ArtifactError, ValueError):
        return None


def claims_in_history(root: Path) -> Iterator[tuple[str, ReportFolder, Any]]:
    """Commit, folder and content of every claims.json that a commit holds: the first first, the same content once."""
    files = {reports_of("*").claims.as_posix(), BEFORE_FOLDERS.claims.as_posix()}
    log = git(root, "log", "--reverse", "--format=%H", "--", *(f":(glob){file}" for file in files))
    seen: set[tuple[str, Path]] = set()
    for commit in (log or b"").decode().split():
        for line in (git(root, "ls-tree", "-r", commit, "--", REPORTS.as_posix()) or b"").decode().splitlines():
            blob, _, name = line.split(maxsplit=2)[2].partition("\t")
            folder = ReportFolder(Path(name).parent)
            of_run = folder in (BEFORE_FOLDERS, reports_of(folder.path.name)) and Path(name) == folder.claims
            if of_run and (blob, folder.path) not in seen:
                seen.add((blob, folder.path))
                yield commit, folder, content_at(root, commit, folder.claims)


def committed_profiles(root: Path) -> list[str]:
    """The profiles of which git holds claims; outside git, those that are here."""
    listed = git(root, "ls-files", "--", f":(glob){reports_of('*').claims.as_posix()}")
    if listed is None:
        return sorted(path.parent.name for path in (root / REPORTS).glob("*/claims.json"))
    return sorted(Path(line).parent.name for line in listed.decode().splitlines())
