"""SIGKILL at random moments of the smoke profile; then `dvc repro` must end as an undisturbed run does."""

import contextlib
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

from workspace import Workspace

from tests.faults.trial import Trial

POINTS = {"the stage": 60, "the process group": 20, "dvc": 20, "a worker": 20}
POINTS |= {"dvc as it writes dvc.lock": 30, "dvc and the keeper of dvc.lock as it is written": 10}
HALVES = 2  # tried at the same time, one for each core
PREPARED = "FAULTS_WORKSPACE"  # a folder in which the profile smoke has run already; only for quick tries
TRIES = Path(__file__).with_name("kill_tries.py")


@contextlib.contextmanager
def prepared_workspace() -> Iterator[Workspace]:
    """A workspace in which the profile smoke has run."""
    with tempfile.TemporaryDirectory() as name:
        if PREPARED in os.environ:
            workspace = Workspace.__new__(Workspace)
            workspace.folder = Path(os.environ[PREPARED])
        else:
            workspace = Workspace(Path(name))
            workspace.repro_in_one_process()
        yield workspace


def trials(every: int = 1) -> Iterator[Trial]:
    """Every kill, or a share: the tries run in processes that have imported the libraries once."""
    shares = [{who: max(1, count // every // HALVES) for who, count in POINTS.items()} for _ in range(HALVES)]
    with prepared_workspace() as workspace, tempfile.TemporaryDirectory() as work, contextlib.ExitStack() as stack:
        tries = [
            stack.enter_context(
                subprocess.Popen(
                    [sys.executable, "-P", str(TRIES), f"{work}/{half}", json.dumps(points), str(half), str(HALVES)],
                    cwd=workspace.folder,
                    env=workspace.environment(),
                    stdout=subprocess.PIPE,
                    text=True,
                )
            )
            for half, points in enumerate(shares)
        ]
        for half in tries:
            yield from (Trial(**json.loads(line)) for line in half.stdout or ())
        if any(half.wait() for half in tries):
            raise RuntimeError(f"{TRIES.name} ended with {[half.returncode for half in tries]}")
