"""Asking the hub: where, at which commit, with which token, and what it means when it refuses."""

import contextlib
import errno
import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from huggingface_hub import constants, errors

from darkmatter.storage.artifacts import ArtifactError

PINS = Path("conf/hub")
HUB = "https://huggingface.co"


class HubError(ArtifactError):
    """A file of the hub cannot be had; the message says why, and the command that fixes it."""


class TokenMissingError(HubError):
    """The repository is gated and there is no token, or the hub does not know it."""


class GrantMissingError(HubError):
    """The account of the token has not been let into a gated repository."""


class OfflineError(HubError):
    """HF_HUB_OFFLINE is set, and the file is not in the cache."""


class UnreachableError(HubError):
    """The hub does not answer, or not with the file."""


class UnknownRepoError(HubError):
    """No repository has this name, or it is private."""


class UnknownRevisionError(HubError):
    """The repository has no such commit."""


class UnknownFileError(HubError):
    """The repository has no such file at this commit."""


class WrongBytesError(HubError):
    """A file has another SHA-256 than the committed one."""


class DiskFullError(HubError):
    """No space is left where files are kept."""


@dataclass(frozen=True)
class Repo:
    """A repository at one commit. Only for a `gated` one is the token of HF_TOKEN sent."""

    name: str
    revision: str
    kind: Literal["model", "dataset"] = "model"
    gated: bool = False

    def __str__(self) -> str:
        return f"{self.name}@{self.revision[:12]}"

    @property
    def pinned(self) -> bool:
        return re.fullmatch(r"[0-9a-f]{40}", self.revision) is not None

    @property
    def pins(self) -> Path:
        prefix = "" if self.kind == "model" else f"{self.kind}s--"
        return PINS / f"{prefix}{self.name.replace('/', '--')}.json"

    @property
    def page(self) -> str:
        return f"{HUB}/{'' if self.kind == 'model' else 'datasets/'}{self.name}"

    def download_command(self, name: str) -> str:
        kind = "" if self.kind == "model" else f" --repo-type {self.kind}"
        return f"HF_HUB_OFFLINE=0 hf download {self.name} {name} --revision {self.revision}{kind}"


def endpoint() -> str:
    return (os.environ.get("HF_ENDPOINT") or constants.ENDPOINT).rstrip("/")


def token_for(repo: Repo) -> str | Literal[False]:
    """HF_TOKEN for a gated repository on huggingface.co itself; False, which sends none, for all else."""
    return (repo.gated and endpoint() == HUB and os.environ.get("HF_TOKEN")) or False


def offline() -> bool:
    """Whether the user asked for no network. models/load.py sets HF_HUB_OFFLINE itself, and keeps here what it was."""
    asked = os.environ.get("DARKMATTER_HUB_OFFLINE")
    return constants.HF_HUB_OFFLINE if asked is None else asked.upper() in constants.ENV_VARS_TRUE_VALUES


@contextlib.contextmanager
def online(repo: Repo, name: str) -> Iterator[None]:
    """Let huggingface_hub ask the hub inside, and turn what it raises into a HubError."""
    if offline():
        raise OfflineError(
            f"{repo}: {name} is not in the cache ({constants.HF_HUB_CACHE}) and HF_HUB_OFFLINE is set. "
            f"Where there is a network: `{repo.download_command(name)}`, or unset HF_HUB_OFFLINE."
        )
    before, constants.HF_HUB_OFFLINE = constants.HF_HUB_OFFLINE, False
    try:
        yield
    except HubError:
        raise
    except Exception as error:
        raise explained(repo, name, error) from error
    finally:
        constants.HF_HUB_OFFLINE = before


def explained(repo: Repo, name: str, error: Exception) -> HubError:
    """The HubError for what huggingface_hub raises while it fetches `name`."""
    where = f"{repo}: {name}"
    response = getattr(error, "response", None)
    status = response.status_code if response is not None else None
    if isinstance(error, errors.GatedRepoError) or status in (401, 403):
        return refused(repo, status)
    if isinstance(error, errors.RevisionNotFoundError):
        return UnknownRevisionError(
            f"{repo.name} has no revision {repo.revision}. See `git ls-remote {repo.page}` and correct it."
        )
    if isinstance(error, errors.RemoteEntryNotFoundError):
        return UnknownFileError(
            f"{repo} has no file {name}. See {repo.page}/tree/{repo.revision} and correct the name."
        )
    if isinstance(error, errors.RepositoryNotFoundError):
        return UnknownRepoError(
            f"{endpoint()} has no public repository {repo.name}. See {repo.page} and correct the name."
        )
    if isinstance(error, OSError) and error.errno == errno.ENOSPC:
        return DiskFullError(
            f"{where}: no space is left for {constants.HF_HUB_CACHE}. Free some with `hf cache prune`, or put the "
            "cache on a larger disk with `export HF_HOME=FOLDER`, and run again: what has arrived is kept."
        )
    reason = error.__cause__ or error
    return UnreachableError(
        f"{where} cannot be had from {endpoint()} ({type(reason).__name__}: {first_line(reason)}). See "
        f"`curl -I {endpoint()}` and run again; where there is a network, `{repo.download_command(name)}` fills the "
        "cache, which may be copied here (HF_HOME)."
    )


def refused(repo: Repo, status: int | None) -> HubError:
    """What to do after 401 or 403: it depends on whether a token was sent, and why not."""
    if token_for(repo):
        if status == 401:
            return TokenMissingError(
                f"{HUB} does not accept HF_TOKEN. Make a new one with {HUB}/settings/tokens, `export HF_TOKEN=…`."
            )
        return GrantMissingError(
            f"the account of HF_TOKEN has no access to {repo.name}. Accept its terms on {repo.page} (and allow "
            "gated repositories in the token's permissions), then run again."
        )
    if not repo.gated:
        return TokenMissingError(f"{repo.name} is gated or private. Say `gated: true` beside its name in conf/.")
    if endpoint() != HUB:
        return TokenMissingError(
            f"{repo.name} is gated, and HF_ENDPOINT is {endpoint()}: the token is sent to {HUB} alone. "
            "`unset HF_ENDPOINT`."
        )
    return TokenMissingError(
        f"{repo.name} is gated and HF_TOKEN is not set. Accept its terms on {repo.page}, make a token on "
        f"{HUB}/settings/tokens, `export HF_TOKEN=…`, and run again."
    )


def first_line(error: BaseException) -> str:
    return next((line for line in str(error).splitlines() if line.strip()), "no reason given")
