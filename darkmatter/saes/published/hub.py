"""Files of published SAEs: fetched through `darkmatter.sources.hub`, at a pinned revision or at what `main` is now.

Where: `HF_HOME` (or `HF_HUB_CACHE`), `HF_ENDPOINT` and `HF_HUB_OFFLINE` as huggingface_hub reads them.
"""

import dataclasses
import posixpath
import re
from dataclasses import dataclass
from pathlib import Path

from huggingface_hub import _CACHED_NO_EXIST, constants, try_to_load_from_cache

from darkmatter.sources.hub import cached as in_cache
from darkmatter.sources.hub import download
from darkmatter.sources.hub_access import OfflineError, Repo, TokenMissingError, UnknownFileError, UnreachableError
from darkmatter.storage.artifacts import ArtifactError

MISSING = (UnknownFileError, OfflineError)
NO_NETWORK = (OfflineError, UnreachableError)


@dataclass(frozen=True)
class Fetched:
    path: Path
    revision: str  # 40 hexadecimal digits


def fetch(repo: str, file: str, revision: str | None = None) -> Fetched:
    """One file of a repository, from the cache or the hub.

    Args:
        revision: 40 hexadecimal digits; None takes what `main` is now, and the caller pins what came.

    Raises:
        HubError: not there, not reachable or not allowed; the message says which, and what fixes it.
    """
    wanted = Repo(repo, revision or "main")
    try:
        path = download(wanted, file)
    except TokenMissingError:  # nothing says beforehand which repositories of SAEs are gated
        path = download(dataclasses.replace(wanted, gated=True), file)
    return Fetched(path, commit_of(path, repo, revision))


def inside(folder: str, file: str) -> str | None:
    """The path of a file in its repository; None: it would be outside."""
    path = posixpath.normpath(posixpath.join(folder, file))
    return None if path.startswith("..") else path


def needed(folder: str, file: str) -> str:
    """The path in its repository of a file that an SAE must have.

    Raises:
        ArtifactError: it would be outside.
    """
    path = inside(folder, file)
    if path is None:
        raise ArtifactError(f"{file} below {folder} would be outside its repository: not fetched")
    return path


def fetch_if_there(repo: str, file: str | None, revision: str | None) -> Fetched | None:
    """One file that a repository need not have; None as well where there is no network to ask whether it has.

    Args:
        file: None: no such path can be in the repository.
    """
    if file is None or known_missing(repo, file, revision):
        return None
    try:
        return fetch(repo, file, revision)
    except (*MISSING, *NO_NETWORK):
        return None


def known_missing(repo: str, file: str, revision: str | None) -> bool:
    """Whether the hub has said before that there is no such file at a commit; huggingface_hub notes that down."""
    result = try_to_load_from_cache(repo, file, cache_dir=constants.HF_HUB_CACHE, revision=revision)
    return result is _CACHED_NO_EXIST


def commits_with(repo: str, file: str) -> list[str]:
    """The commits at which the cache has a file."""
    snapshots = Path(constants.HF_HUB_CACHE) / f"models--{repo.replace('/', '--')}" / "snapshots"
    return sorted(path.name for path in snapshots.glob("*") if (path / file).is_file())


def cached(repo: str, file: str, revision: str) -> bool:
    """Whether a file is in the cache at a pinned revision."""
    return in_cache(Repo(repo, revision), file) is not None


def commit_of(path: Path, repo: str, revision: str | None) -> str:
    """The revision of a cached file is the name of its snapshot."""
    match = re.search(r"/snapshots/([0-9a-f]{40})/", path.as_posix())
    if not match or (revision is not None and match[1] != revision):
        raise ArtifactError(
            f"{path} of {repo} is in no snapshot of revision {revision or 'main'}: remove it from the cache"
        )
    return match[1]


def evict(path: Path) -> None:
    """Remove a fetched file from the cache; a map of it that is open stays readable.

    Raises:
        ArtifactError: the file is not in the cache.
    """
    cache = Path(constants.HF_HUB_CACHE).resolve()
    blob = path.resolve()
    if not (path.is_file() and blob.is_relative_to(cache)):
        raise ArtifactError(f"{path} is not in the cache {cache}: not removed")
    path.unlink()
    blob.unlink(missing_ok=True)
