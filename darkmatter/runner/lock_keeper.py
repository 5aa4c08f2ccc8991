"""dvc.lock stays whole, though DVC writes it in place after each stage and a kill may cut it in the middle of a line.

A stage copies it before its work and leaves a small process behind, in a session of its own, which waits for the end of
`dvc`: where that left a part of the file, the copy takes its place. It is one stage behind, and DVC finds what that
stage made in its run-cache. After a crash of the whole machine `darkmatter repro` puts the copy back.
"""

import contextlib
import os
import select
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

from darkmatter.storage import safe_yaml
from darkmatter.storage.replacing import replacing, try_lock

LOCK = Path("dvc.lock")
TMP = Path(".dvc/tmp")
COPY = TMP / "dvc.lock.whole"
MARK = "lock-keeper-"  # of the process that waits, with the number of the one that it waits for
DVCS_OWN = TMP / "lock"  # held by DVC while it reads and writes
PATIENCE = 10.0  # seconds that another DVC may hold it; one that works on sees to the file itself
POLL_SECONDS = 0.2
CONFLICT = "<<<<<<<"  # of git: a person's to settle


def watch() -> None:
    """Copy dvc.lock, and start a process that restores it when the DVC that started this one has ended."""
    from darkmatter.runner.processes import UNDER_DVC, process_above  # with NumPy, which a stage has anyway

    if UNDER_DVC not in os.environ or not TMP.is_dir():
        return  # no DVC did
    keep_copy()
    if (dvc := process_above()) is None:
        return  # it has ended, before any stage of which it could write
    command = [sys.executable, "-m", "darkmatter.runner.lock_keeper", str(dvc)]
    with Path(os.devnull).open("r+b") as nowhere:
        subprocess.Popen(command, start_new_session=True, stdin=nowhere, stdout=nowhere, stderr=nowhere)


def keep_copy() -> None:
    """Copy dvc.lock if it is whole."""
    if stages_of(LOCK) is not None:
        copy(LOCK, COPY)


def copy(source: Path, target: Path) -> None:
    with replacing(target) as temporary:
        temporary.write_bytes(source.read_bytes())


def restore(fewest: int = 0) -> bool:
    """Put the copy in the place of a part of dvc.lock; whether that was needed.

    Args:
        fewest: stages that a whole one has.
    """
    if not is_part(fewest) or stages_of(COPY) is None:
        return False
    with dvc_waits() as locked:
        if needed := locked and is_part(fewest):  # no other DVC was just writing it
            copy(COPY, LOCK)
        return needed


def restore_after_crash() -> bool:
    """As `restore`, where what waited for the end of `dvc` may have been killed as well, and has left its mark.

    Then a lock of fewer stages than the copy has is a part, too: half of all cuts leave one that DVC reads.
    """
    marks = [mark for mark in TMP.glob(f"{MARK}*") if is_left(mark)]
    done = restore(stages_of(COPY) or 0 if marks else 0)
    for mark in marks:
        mark.unlink(missing_ok=True)
    return done


def is_left(mark: Path) -> bool:
    """Whether the process that made a mark has ended without taking it away."""
    with mark.open("a") as file:
        return try_lock(file.fileno())


def is_part(fewest: int = 0) -> bool:
    """Whether dvc.lock is a part of what DVC writes."""
    if not LOCK.is_file() or CONFLICT in LOCK.read_text(encoding="utf-8", errors="replace"):
        return False
    stages = stages_of(LOCK)
    return stages is None or stages < fewest


def stages_of(path: Path) -> int | None:
    """How many stages a lock has; None where it is missing or a part of one."""
    try:
        content = safe_yaml.read(path)
        entries = list(content["stages"].values())
        return len(entries) if all(is_entry(entry) for entry in entries) else None
    except (OSError, UnicodeDecodeError, yaml.YAMLError, KeyError, TypeError, AttributeError):
        return None


def is_entry(entry: dict[str, Any]) -> bool:
    """Whether DVC reads it as the record of a stage."""
    files = [file for kind in ("deps", "outs") for file in entry.get(kind, ())]
    texts = all(isinstance(file.get(key), str) for file in files for key in ("path", "md5"))
    counts = all(isinstance(file.get(key, 0), int) for file in files for key in ("size", "nfiles"))
    params = entry.get("params", {})
    return "cmd" in entry and texts and counts and all(isinstance(part, dict) for part in (params, *params.values()))


@contextlib.contextmanager
def dvc_waits() -> Iterator[bool]:
    """Hold DVC's own lock inside; False where another DVC holds it too long."""
    end = time.monotonic() + PATIENCE
    with DVCS_OWN.open("a+") as file:
        while not (locked := try_lock(file.fileno())) and time.monotonic() < end:
            time.sleep(POLL_SECONDS)
        yield locked


def wait_for_end(pid: int) -> None:
    """Return once no process has this number."""
    if hasattr(os, "pidfd_open"):
        with contextlib.suppress(ProcessLookupError):
            select.select([os.pidfd_open(pid)], [], [])
        return
    from darkmatter.runner.processes import alive

    while alive(pid):
        time.sleep(POLL_SECONDS)


def main(pid: int) -> None:
    """Wait for a process and restore what it leaves cut short; the second of two that wait for one ends at once."""
    mark = TMP / f"{MARK}{pid}"
    with mark.open("a") as file:
        if not try_lock(file.fileno()):
            return
        wait_for_end(pid)
        restore(stages_of(COPY) or 0)
        mark.unlink(missing_ok=True)


if __name__ == "__main__":
    main(int(sys.argv[1]))
