"""Files of a model hub: at a pinned commit, checked by SHA-256, with one clear error for everything that goes wrong.

A commit pins bytes only as far as the hub and what lies between are honest: huggingface_hub accepts wrong bytes of
the right length. So the SHA-256 of every file is written to conf/hub/ at its first download, committed, and enforced
from then on, on every machine. Files are kept in the ordinary cache of huggingface_hub (HF_HOME), and one that is
there is never asked for again. HF_ENDPOINT names another hub; the token is never sent to one.
"""

import io
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import huggingface_hub
from filelock import FileLock
from huggingface_hub import constants
from huggingface_hub.utils import build_hf_headers, hf_raise_for_status, http_backoff

from darkmatter.sources.hub_access import Repo, UnreachableError, WrongBytesError, endpoint, offline, online, token_for
from darkmatter.storage.artifacts import read_json, sha256_bytes, sha256_file, write_json

BLOCK = 8 << 20  # bytes asked for at once from a file that is read as a stream


def fetch(repo: Repo, names: Sequence[str]) -> dict[str, Path]:
    """The files `names` of a repository, in huggingface_hub's cache, each with the SHA-256 that conf/hub/ has for it.

    Raises:
        HubError: of the kind that tells what to do.
    """
    paths = {name: download(repo, name) for name in names}
    known = pinned(repo)
    whose = f"pinned in {repo.pins}"
    record(repo, {name: checked_sha256(path, known.get(name), whose) for name, path in paths.items()})
    return paths


def download(repo: Repo, name: str) -> Path:
    """One file, unchecked: from the cache, or from the hub. A branch is asked for anew each time, unless offline.

    Raises:
        HubError: of the kind that tells what to do.
    """
    if (repo.pinned or offline()) and (kept := cached(repo, name)):
        return kept
    with online(repo, name):
        return Path(
            huggingface_hub.hf_hub_download(
                repo.name,
                name,
                repo_type=repo.kind,
                revision=repo.revision,
                endpoint=endpoint(),
                token=token_for(repo),
                cache_dir=constants.HF_HUB_CACHE,
            )
        )


def cached(repo: Repo, name: str) -> Path | None:
    result = huggingface_hub.try_to_load_from_cache(
        repo.name, name, cache_dir=constants.HF_HUB_CACHE, revision=repo.revision, repo_type=repo.kind
    )
    return Path(result) if isinstance(result, str) else None


def listing(repo: Repo) -> list[str]:
    """Names of all files of a repository; only the hub knows them.

    Raises:
        HubError: of the kind that tells what to do.
    """
    with online(repo, "config.json"):
        api = huggingface_hub.HfApi(endpoint=endpoint(), token=token_for(repo))
        return sorted(api.list_repo_files(repo.name, revision=repo.revision, repo_type=repo.kind))


class Stream(io.RawIOBase):
    """A file of the hub, read from its beginning in blocks of fixed size, each with its own SHA-256 in conf/hub/.

    For files of which a small part is wanted. A file that is whole in the cache is read from there.
    """

    def __init__(self, repo: Repo, name: str, block: int = BLOCK) -> None:
        self.repo, self.name, self.block = repo, name, block
        self.path = cached(repo, name)
        self.url = huggingface_hub.hf_hub_url(
            repo.name, name, repo_type=repo.kind, revision=repo.revision, endpoint=endpoint()
        )
        self.position = 0
        self.left = memoryview(b"")
        self.ended = False

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:  # Python 3.11 has no name for what can be written to
        if not self.left and not self.ended:
            self.left = memoryview(self.next_block())
        count = min(len(buffer), len(self.left))
        buffer[:count], self.left = self.left[:count], self.left[count:]
        return count

    def next_block(self) -> bytes:
        start = self.position
        content = self.read_cached(self.path, start) if self.path else self.ask(start)
        self.ended = len(content) < self.block
        self.position += len(content)
        if content:
            part, result = f"{self.name}[{start}:{start + self.block}]", sha256_bytes(content)
            expected = pinned(self.repo).get(part, result)
            if result != expected:
                raise other_bytes(part, result, expected, f"pinned in {self.repo.pins}", "Run again")
            record(self.repo, {part: result})
        return content

    def read_cached(self, path: Path, start: int) -> bytes:
        with path.open("rb") as file:
            file.seek(start)
            return file.read(self.block)

    def ask(self, start: int) -> bytes:
        with online(self.repo, self.name):
            headers = build_hf_headers(token=token_for(self.repo))
            headers |= {"Range": f"bytes={start}-{start + self.block - 1}"}
            answer = http_backoff(
                "GET", self.url, headers=headers, follow_redirects=True, timeout=constants.HF_HUB_DOWNLOAD_TIMEOUT
            )
            if answer.status_code == 416:  # the file ended with the block before
                return b""
            hf_raise_for_status(answer)
            size = re.fullmatch(r"bytes \d+-\d+/(\d+)", answer.headers.get("Content-Range", ""))
            if not size or len(answer.content) != min(self.block, int(size[1]) - start):
                raise UnreachableError(
                    f"{self.url} does not answer with the range it is asked for. Use another HF_ENDPOINT."
                )
            return answer.content


def pinned(repo: Repo) -> dict[str, str]:
    """What conf/hub/ has for this commit: file → SHA-256."""
    return read_json(repo.pins).get(repo.revision, {}) if repo.pins.is_file() else {}


def record(repo: Repo, result: Mapping[str, str]) -> None:
    """Write the SHA-256s that are new down in conf/hub/, under a lock: several processes may fetch from one repository.

    Raises:
        WrongBytesError: another process has written down another one.
    """
    if not (new := result.keys() - pinned(repo).keys()):
        return
    repo.pins.parent.mkdir(parents=True, exist_ok=True)
    lock = Path(constants.HF_HUB_CACHE) / ".locks" / f"{repo.pins.name}.lock"
    lock.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(lock):
        table = read_json(repo.pins) if repo.pins.is_file() else {}
        known = table.get(repo.revision, {})
        for name in new & known.keys():
            if known[name] != result[name]:
                raise other_bytes(name, result[name], known[name], f"pinned in {repo.pins}", "Run again")
        write_json(repo.pins, {**table, repo.revision: {**known, **result}})
    print(f"{repo}: SHA-256 of {', '.join(sorted(new))} is new. Commit it: `git add {repo.pins}`")


def checked_sha256(path: Path, expected: str | None, whose: str = "pinned in the manifest") -> str:
    """The SHA-256 of a fetched file, once it is the pinned one, or else for large files the one the hub announced.

    huggingface_hub compares sizes only. It names what it keeps of large files by the SHA-256 that the hub announced.

    Raises:
        WrongBytesError: other bytes than pinned or announced.
    """
    result = sha256_file(path)
    announced = path.resolve().name
    if expected is None and re.fullmatch(r"[0-9a-f]{64}", announced):
        expected, whose = announced, "that the hub announced"
    if expected not in (None, result):
        raise other_bytes(str(path), result, expected, whose, f"Remove it (`rm {path.resolve()}`) and fetch it again")
    return result


def other_bytes(what: str, text: str, expected: str, whose: str, fix: str) -> WrongBytesError:
    return WrongBytesError(
        f"{what} has SHA-256 {text}, not the {expected} {whose}: these are other bytes, through damage on the way or "
        f"a change at the source. {fix}; if it comes out the same, do not use it."
    )
