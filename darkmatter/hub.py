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

import huggingface_hub
from filelock import FileLock
from huggingface_hub import constants
from huggingface_hub.utils import build_hf_headers, hf_raise_for_status, http_backoff

from darkmatter.artifacts import read_json, sha256_bytes, sha256_file, write_json
from darkmatter.hub_access import Repo, UnreachableError, WrongBytesError, endpoint, online, token_for

BLOCK = 8 << 20  # bytes asked for at once from a file that is read as a stream


def fetch(repo: Repo, names: Sequence[str]) -> dict[str, Path]:
    """The files `names` of a repository, in huggingface_hub's cache, each with the SHA-256 that conf/hub/ has for it.

    Raises:
        HubError: of the kind that tells what to do.
    """
    paths = {name: download(repo, name) for name in names}
    check(repo, {name: sha256_file(path) for name, path in paths.items()})
    return paths


def download(repo: Repo, name: str) -> Path:
    if kept := cached(repo, name):
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
    found = huggingface_hub.try_to_load_from_cache(
        repo.name, name, cache_dir=constants.HF_HUB_CACHE, revision=repo.revision, repo_type=repo.kind
    )
    return Path(found) if isinstance(found, str) else None


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

    def readinto(self, buffer: memoryview) -> int:
        if not self.left and not self.ended:
            self.left = memoryview(self.next_block())
        count = min(len(buffer), len(self.left))
        buffer[:count], self.left = self.left[:count], self.left[count:]
        return count

    def next_block(self) -> bytes:
        start = self.position
        content = self.read_cached(start) if self.path else self.ask(start)
        self.ended = len(content) < self.block
        self.position += len(content)
        if content:
            check(self.repo, {f"{self.name}[{start}:{start + self.block}]": sha256_bytes(content)})
        return content

    def read_cached(self, start: int) -> bytes:
        with self.path.open("rb") as file:
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


def check(repo: Repo, found: Mapping[str, str]) -> None:
    """Hold SHA-256s against those of conf/hub/, and write down the new ones.

    Raises:
        WrongBytesError: one differs.
    """
    known = pinned(repo)
    hold(repo, found, known, repo.pins)
    if not (new := found.keys() - known.keys()):
        return
    repo.pins.parent.mkdir(parents=True, exist_ok=True)
    lock = Path(constants.HF_HUB_CACHE) / ".locks" / f"{repo.pins.name}.lock"
    lock.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(lock):
        table = read_json(repo.pins) if repo.pins.is_file() else {}
        write_json(repo.pins, {**table, repo.revision: {**table.get(repo.revision, {}), **found}})
    print(f"{repo}: SHA-256 of {', '.join(sorted(new))} is new. Commit it: `git add {repo.pins}`")


def hold(repo: Repo, found: Mapping[str, str], known: Mapping[str, str | None], place: Path) -> None:
    """Refuse a file whose SHA-256 differs from the one that the committed file `place` has for it, if it has one.

    Raises:
        WrongBytesError: one differs.
    """
    for name, digest in found.items():
        if (expected := known.get(name)) in (None, digest):
            continue
        kept = cached(repo, name.partition("[")[0])
        mend = f"`rm {kept.resolve()}` and run again" if kept else "Run again"
        raise WrongBytesError(
            f"{repo}: {name} has sha256 {digest[:12]}…, but {place} names {expected[:12]}…: it was damaged on the way "
            f"or replaced. It is not used. {mend}; if it stays so, do not change the pin before you know why "
            f"(`git log {place}`)."
        )
