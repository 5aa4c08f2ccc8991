"""What git has of this repository."""

import subprocess
from pathlib import Path


def git(root: Path, *words: str) -> bytes | None:
    """Standard output of a git command; None where it fails, or there is no git."""
    try:
        done = subprocess.run(["git", *words], cwd=root, capture_output=True, check=False)
    except FileNotFoundError:
        return None
    return done.stdout if done.returncode == 0 else None
