"""The hub: pinned commits, committed SHA-256s, where the token goes, and one clear error for each thing that fails."""

import errno
import json
import time
from pathlib import Path

import huggingface_hub
import pytest
from fake_hub import COMMIT, serve
from huggingface_hub import constants

from darkmatter.sources import hub_access
from darkmatter.sources.hub import Stream, fetch, listing
from darkmatter.sources.hub_access import Repo
from darkmatter.storage.artifacts import sha256_bytes

OPEN, GATED = Repo("org/open", COMMIT), Repo("org/gated", COMMIT, gated=True)
DATA = Repo("org/text", COMMIT, "dataset")
BODY = bytes(range(256)) * 40


@pytest.fixture
def served(tmp_path, monkeypatch):
    root = tmp_path / "served"
    for folder in ("org/open", "org/gated", "datasets/org/text"):
        (root / folder / "deep").mkdir(parents=True)
        (root / folder / "deep" / "a.bin").write_bytes(BODY)
    (tmp_path / "repository").mkdir()
    monkeypatch.chdir(tmp_path / "repository")
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)  # as models/load.py leaves it
    monkeypatch.setenv("DARKMATTER_HUB_OFFLINE", "")
    monkeypatch.setenv("HF_TOKEN", "secret")
    monkeypatch.setattr(time, "sleep", lambda seconds: None)  # between huggingface_hub's tries
    with serve(root) as result:
        result.gated.add("org/gated")
        monkeypatch.setenv("HF_ENDPOINT", result.url)
        yield result


def pins(repo=OPEN):
    return json.loads(repo.pins.read_text())[COMMIT]


def test_a_file_comes_once_and_its_sha256_is_written_down(served, capsys):
    path = fetch(OPEN, ["deep/a.bin"])["deep/a.bin"]
    assert path.read_bytes() == BODY and pins() == {"deep/a.bin": sha256_bytes(BODY)}
    assert "git add conf/hub/org--open.json" in capsys.readouterr().out
    served.seen.clear()
    assert fetch(OPEN, ["deep/a.bin"]) == {"deep/a.bin": path}
    assert not served.seen and not capsys.readouterr().out
    assert listing(OPEN) == ["deep/a.bin"]
    assert fetch(DATA, ["deep/a.bin"])["deep/a.bin"].read_bytes() == BODY
    assert DATA.pins.name == "datasets--org--text.json"


def test_wrong_bytes_of_the_right_length_are_refused_wherever_they_come_from(served):
    other = lambda status, body: (status, b"\1" + body[1:])  # noqa: E731
    served.faults["a.bin"] = other
    with pytest.raises(hub_access.WrongBytesError, match=r"that the hub announced.*`rm ") as caught:
        fetch(OPEN, ["deep/a.bin"])
    assert not OPEN.pins.exists()
    served.faults.clear()
    Path(str(caught.value).partition("`rm ")[2].partition("`")[0]).unlink()
    path = fetch(OPEN, ["deep/a.bin"])["deep/a.bin"].resolve()
    path.write_bytes(b"\1" + BODY[1:])
    with pytest.raises(hub_access.WrongBytesError, match=rf"org--open\.json.*`rm {path}`"):
        fetch(OPEN, ["deep/a.bin"])
    path.unlink()
    (served.root / "org" / "open" / "deep" / "a.bin").write_bytes(b"\1" + BODY[1:])  # the hub itself is not honest
    with pytest.raises(hub_access.WrongBytesError, match=r"pinned in conf/hub/org--open\.json"):
        fetch(OPEN, ["deep/a.bin"])
    assert pins() == {"deep/a.bin": sha256_bytes(BODY)}


def test_a_busy_hub_is_asked_again_and_a_cut_body_goes_on(served, monkeypatch):
    monkeypatch.setattr(constants, "DOWNLOAD_CHUNK_SIZE", 1024)  # what has arrived is kept by whole chunks
    answers = iter([429, 503])
    served.faults["a.bin"] = lambda status, body: (next(answers, status), body)
    served.cut.append("deep/a.bin")
    assert fetch(OPEN, ["deep/a.bin"])["deep/a.bin"].read_bytes() == BODY
    assert next(answers, None) is None and not served.cut
    assert f"bytes={len(BODY) // 2}-" in served.ranges


def test_the_token_never_goes_to_another_hub(served):
    fetch(OPEN, ["deep/a.bin"])
    with pytest.raises(hub_access.TokenMissingError, match=r"token is sent to https://huggingface\.co alone"):
        fetch(GATED, ["deep/a.bin"])
    assert served.seen and not any(token for *_, token in served.seen)


@pytest.fixture
def as_the_real_hub(served, monkeypatch):
    """What is served counts as huggingface.co, so the token goes there."""
    monkeypatch.setattr(hub_access, "HUB", served.url)
    return served


def test_the_token_goes_to_gated_repositories_alone(as_the_real_hub):
    as_the_real_hub.granted.add("Bearer secret")
    fetch(GATED, ["deep/a.bin"])
    assert {token for *_, token in as_the_real_hub.seen} == {"Bearer secret"}
    as_the_real_hub.seen.clear()
    fetch(OPEN, ["deep/a.bin"])
    with Stream(DATA, "deep/a.bin") as stream:
        stream.read()
    assert {token for *_, token in as_the_real_hub.seen} == {None}


def test_each_refusal_says_what_to_do(as_the_real_hub, monkeypatch):
    ask = lambda repo, name="deep/a.bin": fetch(repo, [name])  # noqa: E731
    with pytest.raises(hub_access.GrantMissingError, match="Accept its terms on"):
        ask(GATED)
    with pytest.raises(hub_access.TokenMissingError, match="gated: true"):
        ask(Repo(GATED.name, COMMIT))
    monkeypatch.delenv("HF_TOKEN")
    with pytest.raises(hub_access.TokenMissingError, match="export HF_TOKEN"):
        ask(GATED)
    with pytest.raises(hub_access.UnknownRepoError, match="no public repository org/none"):
        ask(Repo("org/none", COMMIT))
    with pytest.raises(hub_access.UnknownRevisionError, match="git ls-remote"):
        ask(Repo(OPEN.name, "2" * 40))
    with pytest.raises(hub_access.UnknownFileError, match=r"has no file deep/b\.bin"):
        ask(OPEN, "deep/b.bin")
    monkeypatch.setenv("DARKMATTER_HUB_OFFLINE", "1")
    with pytest.raises(hub_access.OfflineError, match=f"hf download org/open deep/a.bin --revision {COMMIT}"):
        ask(OPEN)


def test_a_full_disk_and_a_hub_that_is_down_say_what_to_do(served, monkeypatch):
    def full(*arguments, **options):
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(huggingface_hub, "hf_hub_download", full)
        with pytest.raises(hub_access.DiskFullError, match="HF_HOME"):
            fetch(OPEN, ["deep/a.bin"])
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:9")
    for ask in (lambda: fetch(OPEN, ["deep/a.bin"]), lambda: listing(OPEN), lambda: Stream(DATA, "deep/a.bin").read()):
        with pytest.raises(hub_access.UnreachableError, match="curl -I"):
            ask()
    assert constants.HF_HUB_OFFLINE


@pytest.mark.parametrize("block", [1000, len(BODY), len(BODY) + 1, len(BODY) // 2])
def test_a_stream_reads_what_it_needs_in_blocks_that_are_pinned(served, block):
    served.cut.append("deep/a.bin")
    assert Stream(DATA, "deep/a.bin", block).read(700) == BODY[:700]
    assert pins(DATA) == {f"deep/a.bin[0:{block}]": sha256_bytes(BODY[:block])} and not served.cut
    assert Stream(DATA, "deep/a.bin", block).read() == BODY
    served.faults["a.bin"] = lambda status, body: (status, b"\1" + body[1:])
    with pytest.raises(hub_access.WrongBytesError, match="Run again"):
        Stream(DATA, "deep/a.bin", block).read()
    served.faults.clear()
    fetch(DATA, ["deep/a.bin"])
    served.seen.clear()
    assert Stream(DATA, "deep/a.bin", block).read() == BODY and not served.seen


def test_a_shorter_answer_is_no_end_of_the_stream(served):
    served.faults["a.bin"] = lambda status, body: (status, body[:100])
    with pytest.raises(hub_access.UnreachableError, match="range"):
        Stream(DATA, "deep/a.bin", 1000).read()
