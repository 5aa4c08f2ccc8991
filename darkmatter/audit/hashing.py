"""MD5 as DVC records it and SHA-256 as receipts do, from one reading of the bytes.

Neither DVC's state database nor a file's size or time is asked.
"""

import hashlib
import json
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

from dvc_data.hashfile.hash_info import HashInfo
from dvc_data.hashfile.tree import Tree

from darkmatter.storage.listings import folder_sha256
from darkmatter.storage.replacing import walk_files

IGNORED = "__pycache__"  # in .dvcignore
CHUNK = 1 << 22
THREADS = 2


@dataclass(frozen=True)
class Hashes:
    """The hashes of a file or folder.

    Attributes:
        md5: of a folder, that of DVC's listing of it, with the suffix `.dir`.
        sha256: of a folder, as `artifacts.sha256_path`.
        files: of a folder, relative path → MD5.
    """

    md5: str
    sha256: str
    files: dict[str, str] = field(default_factory=dict)


def hash_file(path: Path, read: Callable[[int], object] = lambda count: None) -> Hashes:
    """Both hashes; `read` is told the bytes read so far, chunk by chunk."""
    md5, sha256 = hashlib.md5(usedforsecurity=False), hashlib.sha256()
    with path.open("rb") as file:
        while chunk := file.read(CHUNK):
            md5.update(chunk)
            sha256.update(chunk)
            read(len(chunk))
    return Hashes(md5.hexdigest(), sha256.hexdigest())


def hash_path(path: Path, read: Callable[[int], object] = lambda count: None) -> Hashes:
    """Of a file, or of a folder and everything in it that DVC does not ignore."""
    if path.is_file():
        return hash_file(path, read)
    names = [file.relative_to(path).as_posix() for file in walk_files(path) if IGNORED not in file.parts]
    with ThreadPoolExecutor(THREADS) as pool:
        result = dict(zip(names, pool.map(lambda name: hash_file(path / name, read), names), strict=True))
    files = {name: hashes.md5 for name, hashes in result.items()}
    return Hashes(folder_md5(files), folder_sha256({name: hashes.sha256 for name, hashes in result.items()}), files)


def folder_md5(files: dict[str, str]) -> str:
    """What DVC calls the hash of a folder that holds these files."""
    tree = Tree()
    for name, md5 in files.items():
        tree.add(tuple(name.split("/")), None, HashInfo("md5", md5))
    tree.digest()
    return tree.hash_info.value


def object_path(cache: Path, md5: str) -> Path:
    return cache / md5[:2] / md5[2:]


def listing(cache: Path, md5: str) -> dict[str, str] | None:
    """Relative path → MD5 of a folder, as its object in the cache has it; None where that is absent or not intact."""
    path = object_path(cache, md5)
    if not path.is_file() or f"{hash_file(path).md5}.dir" != md5:
        return None
    return {item["relpath"]: item["md5"] for item in json.loads(path.read_bytes())}
