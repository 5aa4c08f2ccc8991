"""A dvc.lock that a kill cut in the middle of a line is whole again, before the next `dvc` reads it."""

import fcntl
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import yaml
from dvc.schema import COMPILED_LOCKFILE_SCHEMA

from darkmatter.runner import lock_keeper
from darkmatter.runner.lock_keeper import COPY, LOCK, keep_copy, restore, restore_after_crash, stages_of

ROOT = Path(__file__).parents[2]
HEAD, *STAGES = re.split(rb"(?m)^(?=  \S)", (ROOT / LOCK).read_bytes())
REPORT = next(part for part in STAGES if part.startswith(b"  report:"))
CONTENT = HEAD + REPORT + b"".join(STAGES[:4])  # the whole takes a second to read
PART = CONTENT[: CONTENT.index(b"md5: ", 5000) - 3]  # DVC does not read it
# Stands for DVC: runs a stage, begins to write dvc.lock in place, and does not come to the end.
DVC = """
import subprocess, sys, time
subprocess.run([sys.executable, "-c", "from darkmatter.runner import lock_keeper; lock_keeper.watch()"], check=True)
file = open("dvc.lock", "wb")
file.write(open("half", "rb").read())
file.flush()
print("writing", flush=True)
time.sleep(60)
"""


@pytest.fixture(autouse=True)
def repository(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    COPY.parent.mkdir(parents=True)
    LOCK.write_bytes(CONTENT)


def until(condition) -> bool:
    end = time.monotonic() + 20
    while not condition() and time.monotonic() < end:
        time.sleep(0.05)
    return condition()


@pytest.mark.parametrize("share", [0.0, 0.3, 0.77])
@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_a_lock_cut_by_a_kill_is_restored_without_any_command(share, number):
    Path("half").write_bytes(CONTENT[: int(len(CONTENT) * share)])
    environment = os.environ | {"DVC_STAGE": "tokens", "PYTHONPATH": str(ROOT)}
    dvc = subprocess.Popen(
        [sys.executable, "-c", DVC], env=environment, stdout=subprocess.PIPE, text=True, start_new_session=True
    )
    assert dvc.stdout.readline() == "writing\n"
    assert until(lambda: bool(list(COPY.parent.glob("lock-keeper-*"))))
    assert LOCK.read_bytes() != CONTENT  # nobody restores it while DVC lives
    os.killpg(dvc.pid, number)
    dvc.wait()
    assert until(lambda: LOCK.read_bytes() == CONTENT)
    assert until(lambda: not list(COPY.parent.glob("lock-keeper-*")))  # who waited has gone


def test_a_stage_that_no_dvc_started_leaves_nothing_behind(monkeypatch):
    monkeypatch.delenv("DVC_STAGE", raising=False)
    lock_keeper.watch()
    assert not list(COPY.parent.iterdir())


def test_every_cut_is_restored_or_in_the_last_stage_and_read_by_dvc():
    keep_copy()
    stages = len(yaml.safe_load(CONTENT)["stages"])
    assert stages_of(LOCK) == stages
    last = CONTENT.rindex(b"\n    cmd: ")
    for end in [*range(0, last, 499), *range(last, len(CONTENT), 197)]:
        LOCK.write_bytes(CONTENT[:end])
        if restore(stages):
            assert LOCK.read_bytes() == CONTENT
        else:
            assert end > last
            COMPILED_LOCKFILE_SCHEMA(yaml.safe_load(CONTENT[:end]))


def test_what_is_no_cut_is_left_alone():
    keep_copy()
    fewer = yaml.safe_load(CONTENT)
    fewer["stages"].pop("report")
    conflict = b"<<<<<<< HEAD\n" + CONTENT
    for content in (CONTENT, yaml.safe_dump(fewer).encode(), conflict):
        LOCK.write_bytes(content)
        assert not restore()
        assert LOCK.read_bytes() == content
    LOCK.unlink()
    assert not restore()
    assert not LOCK.exists()


def test_after_a_crash_of_the_machine_every_cut_is_restored():
    """DVC reads half of all cuts: as a lock of fewer stages. That it was cut shows from the mark of who waited."""
    keep_copy()
    last = CONTENT.rindex(b"\n    cmd: ")
    mark = COPY.with_name("lock-keeper-1")
    for end in range(0, last, 499):
        LOCK.write_bytes(CONTENT[:end])
        mark.touch()
        assert restore_after_crash()
        assert LOCK.read_bytes() == CONTENT and not mark.exists()


def test_fewer_stages_are_left_alone_while_somebody_waits_and_where_nobody_did():
    keep_copy()
    fewer = yaml.safe_load(CONTENT)
    fewer["stages"].pop("report")
    LOCK.write_text(yaml.safe_dump(fewer))
    assert not restore_after_crash()
    with COPY.with_name("lock-keeper-1").open("a") as mark:
        fcntl.flock(mark, fcntl.LOCK_EX)
        assert not restore_after_crash()
    assert yaml.safe_load(LOCK.read_bytes()) == fewer and COPY.with_name("lock-keeper-1").exists()


def test_a_part_is_never_the_copy():
    keep_copy()
    LOCK.write_bytes(PART)
    keep_copy()
    assert COPY.read_bytes() == CONTENT


def test_a_dvc_that_is_writing_is_not_disturbed(monkeypatch):
    monkeypatch.setattr(lock_keeper, "PATIENCE", 0.3)
    keep_copy()
    LOCK.write_bytes(PART)
    hold = (
        "import zc.lockfile, time; held = zc.lockfile.LockFile('.dvc/tmp/lock'); print(1, flush=True); time.sleep(60)"
    )
    with subprocess.Popen([sys.executable, "-c", hold], stdout=subprocess.PIPE, text=True) as dvc:
        assert dvc.stdout.readline() == "1\n"
        assert not restore()
        assert LOCK.read_bytes() == PART
        dvc.kill()
    assert restore()
