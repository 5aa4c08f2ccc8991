"""Files of published SAEs in the hub's cache, and how much room they may take there.

Nothing is evicted unless DARKMATTER_SAE_CACHE_GB says how much they may take. Then the file unused longest makes room
before another is fetched, and is fetched again when it is wanted. One lock covers eviction and the moment between
finding a file and mapping it; a map that is open outlives its file.
"""

import contextlib
import os
import time
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from filelock import FileLock
from huggingface_hub import constants

from darkmatter.saes.published import hub
from darkmatter.sources.hub import other_bytes
from darkmatter.sources.hub_access import offline
from darkmatter.storage.artifacts import ArtifactError, read_json, sha256_file, write_json

INDEX = "darkmatter-saes.json"  # in the cache: path of each SAE's file → when it was last used
VARIABLE = "DARKMATTER_SAE_CACHE_GB"

checked: set[tuple[Any, ...]] = set()  # files whose SHA-256 this process has seen: reading 30 GB takes a minute


def allowed() -> float | None:
    """Bytes that the files may take; None: as many as there are.

    Raises:
        ArtifactError: the environment says something that is no size.
    """
    wanted = os.environ.get(VARIABLE, "")
    if not wanted:
        return None
    try:
        size = float(wanted)
    except ValueError:
        size = 0.0
    if not size > 0:
        raise ArtifactError(f"the environment says {VARIABLE}={wanted!r}, which is no positive number of gigabytes")
    return size * 1e9


@contextlib.contextmanager
def files_of(source: Mapping[str, Any], size: int) -> Iterator[dict[str, Path]]:
    """The files of one SAE, checked; inside they are there to be mapped.

    Args:
        source: `repo` (None: `folder` is one of this machine), `revision`, `folder`, and the `sha256` of each file.
        size: bytes that they take at most.

    Raises:
        HubError: a file is neither in the cache nor to be had.
        ArtifactError: a file is missing, or has another SHA-256.
    """
    if source["repo"] is None:
        paths = {file: Path(source["folder"]) / file for file in source["sha256"]}
        try:
            check(paths, source["sha256"], "Run `dvc repro -f saes` if you have changed it")
        except FileNotFoundError as error:
            path = error.filename
            raise ArtifactError(
                f"{path} does not exist any more, but the `saes` stage has seen it. Put it back."
            ) from None
        yield paths
        return
    while True:
        if not all(
            hub.cached(source["repo"], hub.needed(source["folder"], file), source["revision"])
            for file in source["sha256"]
        ):
            make_room(size)
        paths = {file: fetched(source, file) for file in source["sha256"]}
        try:
            check(paths, source["sha256"])
        except FileNotFoundError:  # another process has made room meanwhile
            continue
        with lock():
            if all(path.is_file() for path in paths.values()):
                use(paths.values())
                yield paths
                return


def fetched(source: Mapping[str, Any], file: str) -> Path:
    return hub.fetch(source["repo"], hub.needed(source["folder"], file), source["revision"]).path


def check(paths: Mapping[str, Path], sha256: Mapping[str, str], fix: str | None = None) -> None:
    """Hash the files and hold them against what they should be; each file once per process.

    Args:
        fix: what to do about other bytes; None: remove the file, which can be fetched again.

    Raises:
        FileNotFoundError: a file is gone.
        WrongBytesError: a file has another SHA-256.
    """
    for file, path in paths.items():
        facts = path.stat()
        key = (path.resolve(), facts.st_ino, facts.st_size, facts.st_mtime_ns)
        if key in checked:
            continue
        if (result := sha256_file(path)) != sha256[file]:
            again = fix or f"Remove it (`rm {path.resolve()}`) and run again"
            raise other_bytes(str(path), result, sha256[file], "that the `saes` stage has seen", again)
        checked.add(key)


def lock() -> FileLock:
    folder = Path(constants.HF_HUB_CACHE) / ".locks"
    folder.mkdir(parents=True, exist_ok=True)
    return FileLock(folder / f"{INDEX}.lock")


def make_room(size: int) -> None:
    """Evict files until so many bytes more are no more than all may take."""
    with lock():
        use((), coming=size)


def use(paths: Iterable[Path], coming: int = 0) -> None:
    """Note that these files are in use, and evict others until all take what they may; under `lock`.

    Args:
        coming: bytes that are about to be fetched.
    """
    index = Path(constants.HF_HUB_CACHE) / INDEX
    used = read_json(index) if index.is_file() else {}
    kept = {path.as_posix() for path in paths}
    used |= dict.fromkeys(kept, time.time())
    used = {name: when for name, when in used.items() if Path(name).is_file()}
    limit = allowed()
    if limit is not None and not offline():  # without a network nothing could be fetched again
        sizes = {name: Path(name).stat().st_size for name in used}
        for name in sorted(used.keys() - kept, key=used.__getitem__):
            if sum(sizes[other] for other in used) + coming <= limit:
                break
            hub.evict(Path(name))
            del used[name]
    write_json(index, used)
