"""Files of a model hub: from its cache on disk, or downloaded at a pinned revision and checked by SHA-256.

Where: `HF_HOME` (or `HF_HUB_CACHE`), `HF_ENDPOINT` and `HF_HUB_OFFLINE` as huggingface_hub reads them.
"""

import re
from dataclasses import dataclass
from pathlib import Path

import httpx
import huggingface_hub
from huggingface_hub import constants
from huggingface_hub.errors import (
    EntryNotFoundError,
    GatedRepoError,
    HfHubHTTPError,
    LocalEntryNotFoundError,
    RepositoryNotFoundError,
    RevisionNotFoundError,
)

from darkmatter.artifacts import ArtifactError, sha256_file

HUGGING_FACE = "https://huggingface.co"
ENDPOINT = constants.ENDPOINT


class MissingError(ArtifactError):
    """The hub, or offline the cache, has no such file."""


@dataclass(frozen=True)
class Fetched:
    path: Path
    revision: str  # 40 hexadecimal digits


def fetch(repo: str, file: str, revision: str | None = None) -> Fetched:
    """One file of a repository, from the cache or the hub.

    Args:
        revision: 40 hexadecimal digits; None takes what `main` is now, and the caller pins what came.

    Raises:
        ArtifactError: not there, not reachable or not allowed; the message says which, and what mends it.
    """
    try:
        try:
            path = Path(download(repo, file, revision, token=False))
        except GatedRepoError:
            path = Path(download(repo, file, revision, token=token_for(repo)))
    except LocalEntryNotFoundError as error:
        raise not_cached(repo, file, revision, error) from error
    except EntryNotFoundError as error:
        raise MissingError(
            f"{repo} has no file {file} at revision {revision or 'main'}. Check the reference."
        ) from error
    except GatedRepoError as error:
        raise ArtifactError(
            f"{repo} is gated and this token has no grant. Accept its terms at {HUGGING_FACE}/{repo}, logged in as the "
            "account of the token."
        ) from error
    except RevisionNotFoundError as error:
        raise ArtifactError(f"{repo} has no revision {revision}. Check the manifest or the reference.") from error
    except RepositoryNotFoundError as error:
        raise ArtifactError(f"{ENDPOINT} has no repository {repo}. Check the reference.") from error
    except (HfHubHTTPError, httpx.HTTPError, OSError) as error:
        raise ArtifactError(
            f"{repo}/{file} could not be fetched from {ENDPOINT} ({type(error).__name__}: {error}). Run "
            "again when it answers; what was already fetched is kept."
        ) from error
    return Fetched(path, commit_of(path, repo, revision))


def download(repo: str, file: str, revision: str | None, token: str | bool) -> str:
    return huggingface_hub.hf_hub_download(
        repo,
        file,
        revision=revision,
        token=token,
        cache_dir=constants.HF_HUB_CACHE,
        endpoint=ENDPOINT,
        local_files_only=constants.HF_HUB_OFFLINE,
    )


def token_for(repo: str) -> str:
    """The user's token, for a gated repository of Hugging Face itself: no other endpoint is ever sent it."""
    if ENDPOINT != HUGGING_FACE:
        raise ArtifactError(f"{repo} is gated, and {ENDPOINT} is not {HUGGING_FACE}: no token is sent there")
    if token := huggingface_hub.get_token():
        return token
    raise ArtifactError(f"{repo} is gated: accept its terms at {HUGGING_FACE}/{repo}, then run `hf auth login`")


def not_cached(repo: str, file: str, revision: str | None, error: Exception) -> ArtifactError:
    """Why a file could not come from the cache: offline it is missing, else the hub has not delivered it."""
    where = f"{repo}/{file} at revision {revision or 'main'} is not in {constants.HF_HUB_CACHE}"
    if constants.HF_HUB_OFFLINE:
        return MissingError(
            f"{where}, and HF_HUB_OFFLINE is set. Unset it to download the file, or point HF_HOME at another cache."
        )
    cause = error.__cause__ or error
    said = str(cause).strip().partition("\n")[0]
    return ArtifactError(f"{where}, and {ENDPOINT} did not deliver it ({said}). Run again when it does.")


def commit_of(path: Path, repo: str, revision: str | None) -> str:
    """The revision of a cached file is the name of its snapshot."""
    match = re.search(r"/snapshots/([0-9a-f]{40})/", path.as_posix())
    if not match or (revision is not None and match[1] != revision):
        raise ArtifactError(
            f"{path} of {repo} is in no snapshot of revision {revision or 'main'}: remove it from the cache"
        )
    return match[1]


def checked_sha256(path: Path, expected: str | None) -> str:
    """The SHA-256 of a fetched file, once it is the pinned one and, for large files, the one the hub announced.

    huggingface_hub compares sizes only. It names what it keeps of large files by the SHA-256 that the hub announced.

    Raises:
        ArtifactError: other bytes than pinned or announced.
    """
    found = sha256_file(path)
    announced = path.resolve().name
    wanted = expected or (announced if re.fullmatch(r"[0-9a-f]{64}", announced) else None)
    if wanted is None or wanted == found:
        return found
    whose = "pinned in the manifest" if expected else "that the hub announced"
    raise ArtifactError(
        f"{path} has SHA-256 {found}, not the {wanted} {whose}: these are other bytes, through damage on the way or a "
        f"change at the source. Remove it (`rm {path.resolve()}`) and fetch it again; if it comes out the same, do not "
        "use it."
    )


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
