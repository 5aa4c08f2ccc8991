"""A model hub that fails, on this machine: each answer is the right file, or one line that says what to do."""

import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from fake_hub import COMMIT, Hub, serve
from huggingface_hub import constants

from darkmatter.sources import hub_access
from darkmatter.sources.hub import Stream, fetch
from darkmatter.sources.hub_access import Repo
from darkmatter.storage.artifacts import sha256_bytes, write_json
from tests.faults.trial import WRONG, Trial, try_read

GROUP = "hub"
OPEN, GATED, TEXT = Repo("org/open", COMMIT), Repo("org/gated", COMMIT, gated=True), Repo("org/text", COMMIT, "dataset")
NAME, BODY, TOKEN = "deep/a.bin", bytes(range(256)) * 40, "a-token-that-nobody-else-may-see"
OTHER = b"\1" + BODY[1:]
PAUSE = threading.Event().wait  # `time.sleep` is none here


def always(status: int) -> Callable[[Hub], None]:
    return lambda hub: hub.faults.update({NAME: lambda _, body: (status, b"")})


def first(*statuses: int) -> Callable[[Hub], None]:
    """These answers, then the file."""
    answers = iter(statuses)
    return lambda hub: hub.faults.update({NAME: lambda status, body: (next(answers, status), body)})


def cut_once(hub: Hub) -> None:
    hub.cut.append(NAME)


def gated(hub: Hub) -> None:
    hub.gated.add(GATED.name)


def bytes_of(content: bytes) -> Callable[[Hub], None]:
    return lambda hub: hub.faults.update({NAME: lambda status, _: (status, content)})


def slow(hub: Hub) -> None:
    def wait(status: int, body: bytes) -> tuple[int, bytes]:
        PAUSE(1.5)
        return status, body

    hub.faults[NAME] = wait


def elsewhere(hub: Hub) -> None:
    """To a repository of this machine with another file."""
    (hub.root / "org/evil/deep").mkdir(parents=True)
    (hub.root / "org/evil" / NAME).write_bytes(OTHER)
    hub.elsewhere[f"{OPEN.name}/resolve/{COMMIT}/{NAME}"] = f"{hub.url}/org/evil/resolve/{COMMIT}/{NAME}"


def down(hub: Hub) -> None:
    hub.url = "http://127.0.0.1:9"


def gone(hub: Hub) -> None:
    (hub.root / OPEN.name / NAME).unlink()


def nothing(hub: Hub) -> None:
    pass


def whole(repo: Repo) -> bytes:
    return fetch(repo, [NAME])[NAME].read_bytes()


def streamed(repo: Repo) -> bytes:
    with Stream(repo, NAME, 1000) as stream:
        return stream.read()


Scenario = tuple[str, Callable[[Hub], None], Repo, Callable[[Repo], bytes]]
SCENARIOS: list[Scenario] = [
    ("429 twice", first(429, 429), OPEN, whole),
    ("429 without end", always(429), OPEN, whole),
    ("500 without end", always(500), OPEN, whole),
    ("403, gated, not granted", gated, GATED, whole),
    ("403, not said to be gated", gated, Repo(GATED.name, COMMIT), whole),
    ("404, the file is gone", gone, OPEN, whole),
    ("404, no such commit", nothing, Repo(OPEN.name, "2" * 40), whole),
    ("body cut half-way", cut_once, OPEN, whole),
    ("body cut half-way", cut_once, TEXT, streamed),
    ("wrong bytes of the right length", bytes_of(OTHER), OPEN, whole),
    ("wrong bytes of the right length", bytes_of(OTHER), TEXT, streamed),
    ("fewer bytes than announced", bytes_of(BODY[:100]), OPEN, whole),
    ("fewer bytes than announced", bytes_of(BODY[:100]), TEXT, streamed),
    ("slow", slow, OPEN, whole),
    ("down", down, OPEN, whole),
    ("redirected elsewhere", elsewhere, OPEN, whole),
]


def trials(every: int = 1) -> Iterator[Trial]:
    for fault, prepare, repo, read in SCENARIOS[::every]:
        with tempfile.TemporaryDirectory() as name, pytest.MonkeyPatch.context() as patch:
            yield trial(Path(name), patch, fault, prepare, repo, read)


def trial(
    folder: Path,
    patch: pytest.MonkeyPatch,
    fault: str,
    prepare: Callable[[Hub], None],
    repo: Repo,
    read: Callable[[Repo], bytes],
) -> Trial:
    """One scenario. The SHA-256 is pinned, as every committed one is; a token is set, and must not leave."""
    for own in ("org/open", "org/gated", "datasets/org/text"):
        (folder / "served" / own / "deep").mkdir(parents=True)
        (folder / "served" / own / NAME).write_bytes(BODY)
    (folder / "repository").mkdir()
    patch.chdir(folder / "repository")
    patch.setattr(constants, "HF_HUB_CACHE", str(folder / "cache"))
    patch.setattr(constants, "HF_HUB_OFFLINE", True)
    patch.setattr(constants, "HF_HUB_DOWNLOAD_TIMEOUT", 1)
    patch.setattr(constants, "DOWNLOAD_CHUNK_SIZE", 1024)
    patch.setattr(time, "sleep", lambda seconds: None)  # between the tries of huggingface_hub
    patch.setenv("DARKMATTER_HUB_OFFLINE", "")
    patch.setenv("HF_TOKEN", TOKEN)
    blocks = {f"{NAME}[{start}:{start + 1000}]": BODY[start : start + 1000] for start in range(0, len(BODY), 1000)}
    for pinned in (OPEN, TEXT):
        hashes = {part: sha256_bytes(content) for part, content in {NAME: BODY, **blocks}.items()}
        write_json(pinned.pins, {COMMIT: hashes})
    with serve(folder / "served") as hub:
        url = hub.url
        prepare(hub)
        patch.setenv("HF_ENDPOINT", hub.url)
        if repo.gated:
            patch.setattr(hub_access, "HUB", url)  # so that the token may go there
        result = try_read(GROUP, fault, repo.name, lambda: read(repo), lambda body: body == BODY, hidden=folder)
        sent = {token for *_, token in hub.seen if token and TOKEN in token}
    if sent and not repo.gated:
        return Trial(GROUP, fault, repo.name, WRONG, "the token was sent to a hub that may not have it")
    return Trial(GROUP, fault, repo.name, result.outcome, result.says.replace(url, "http://127.0.0.1"))
