"""A folder as a list of files with their SHA-256: from it follows the hash of any folder inside, without the bytes.

A receipt has such a list of what its stage wrote below data/. The stage that reads one of these files, or a folder
among them, has its hash in its own receipt; so a clone without data can tell whether one read what the other wrote.
"""

from collections.abc import Mapping
from pathlib import Path

from darkmatter.storage.artifacts import ArtifactError, sha256_bytes, sha256_file
from darkmatter.storage.replacing import walk_files


def list_files(path: Path) -> dict[str, str]:
    """Path → SHA-256 of every file in a folder, or of the one file.

    Raises:
        ArtifactError: there is neither.
    """
    if not path.exists():
        raise ArtifactError(f"{path} does not exist. Run `dvc repro` to make it.")
    files = [path] if path.is_file() else walk_files(path)
    return {file.as_posix(): sha256_file(file) for file in files}


def listed_sha256(path: str, files: Mapping[str, str]) -> str:
    """As `artifacts.sha256_path`, of a file or folder that holds those of these files that are `path` or below it.

    Args:
        files: path → SHA-256.
    """
    if path in files:
        return files[path]
    prefix = f"{path}/"
    return folder_sha256({name.removeprefix(prefix): files[name] for name in files if name.startswith(prefix)})


def folder_sha256(files: Mapping[str, str]) -> str:
    """As `artifacts.sha256_path`, of a folder that holds these files: relative path → SHA-256."""
    ordered = sorted(files, key=lambda name: name.split("/"))  # as paths sort: `a/b` before `a-b`
    return sha256_bytes("".join(f"{name} {files[name]}\n" for name in ordered).encode(errors="surrogateescape"))
