"""Processes that never outlive the command that started them, and their number of threads."""

import ctypes
import os
import signal
import sys
import threading
import time
from pathlib import Path

from darkmatter.storage.artifacts import ArtifactError

PR_SET_PDEATHSIG = 1
POLL_SECONDS = 1.0
UNDER_DVC = "DVC_STAGE"  # which DVC sets
STARTED_BY = "DARKMATTER_STARTED_BY"  # the parent when the stage began, before it imported anything
KILL = signal.SIGKILL if hasattr(signal, "SIGKILL") else signal.SIGTERM


def die_with_parent() -> None:
    """Kill this process when its parent ends, so that a killed `dvc repro` leaves no stage that still writes.

    Linux tells the kernel (prctl); elsewhere a thread polls. DVC starts stages through a shell: where that
    shell stays between the two, its own parent is watched as well. Where the parent of the first moment, or DVC, is
    gone already, this process ends at once.
    """
    if sys.platform == "linux":
        ctypes.CDLL(None, use_errno=True).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    above, watched = process_above(), [os.getppid()]
    adopted = UNDER_DVC in os.environ and above is None
    if adopted or os.environ.get(STARTED_BY, str(watched[0])) != str(watched[0]):
        print("the process that started this stage has ended, and so does the stage", file=sys.stderr, flush=True)
        os.kill(os.getpid(), KILL)
    if above is not None and above != watched[0]:
        watched.append(above)
    if len(watched) > 1 or sys.platform != "linux":
        threading.Thread(target=poll, args=(watched,), daemon=True).start()


def process_above() -> int | None:
    """The process that started this one, past a shell between the two; None where it has ended.

    Then another one, such as init, has adopted this process or the shell, and that is of another process group.
    """
    parent = os.getppid()
    above = parent_if_shell(parent) or parent
    try:
        return above if os.getpgid(above) == os.getpgrp() else None
    except OSError:
        return None


def parent_if_shell(pid: int) -> int | None:
    """The parent of `pid` where `pid` is a shell, read from /proc."""
    try:
        _, name, rest = Path(f"/proc/{pid}/stat").read_text().replace("(", ")").split(")", 2)
    except OSError:
        return None
    return int(rest.split()[1]) if name in {"sh", "bash", "dash", "zsh"} else None


def poll(watched: list[int]) -> None:
    while os.getppid() == watched[0] and all(alive(pid) for pid in watched):
        time.sleep(POLL_SECONDS)
    os.kill(os.getpid(), KILL)


def alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


def single_thread() -> None:
    """One thread of arithmetic: sums come out the same on every machine of one CPU class, whatever its cores."""
    for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
        os.environ[name] = "1"
    if torch := sys.modules.get("torch"):
        torch.set_num_threads(1)


def worker_count(device: str = "cpu") -> int:
    """Processes that one stage may use: DARKMATTER_WORKERS, or one per core, or one for an accelerator.

    Raises:
        ArtifactError: DARKMATTER_WORKERS is no positive whole number.
    """
    wanted = os.environ.get("DARKMATTER_WORKERS", "")
    if wanted and not (wanted.isdigit() and int(wanted) > 0):
        raise ArtifactError(f"the environment says DARKMATTER_WORKERS={wanted!r}, which is not a positive whole number")
    if wanted:
        return int(wanted)
    return (os.cpu_count() or 1) if device == "cpu" else 1  # each process would hold a model there
