"""A workspace, or a part of it, on a file system that is read-only: a mount of the folder on itself, as root writes
through every permission.

What only reads works as ever; what would write says so in one line; and all is right once it may be written again.
"""

import contextlib
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from workspace import Workspace

from tests.faults.kills import prepared_workspace
from tests.faults.surroundings import copied
from tests.faults.trial import LOST, REFUSED, SURVIVED, UNCLEAR, WRONG, Trial

GROUP = "read_only"
SAYS_SO = re.compile(r"read-only file system", re.IGNORECASE)
PYTHON = (sys.executable, "-m")
COMMAND = (*PYTHON, "darkmatter.cli")
AGAIN = ("dvc", "repro", "--force", "--single-item")


@dataclass(frozen=True)
class ReadOnly:
    """A command that runs while a folder cannot be written.

    Attributes:
        folder: of the workspace.
        only_reads: whether it must work.
        taken_away: an output that is not in the workspace, but in the cache.
    """

    folder: str
    command: tuple[str, ...]
    only_reads: bool = False
    taken_away: str = ""

    @property
    def target(self) -> str:
        return " ".join(self.command).replace(" ".join(COMMAND), "darkmatter").replace(sys.executable, "python")


CASES = [
    ReadOnly(".dvc/cache", ("dvc", "repro"), only_reads=True),
    ReadOnly(".dvc/cache", ("dvc", "repro", "tokens"), taken_away="data/tokens/train.npy"),
    ReadOnly(".dvc/cache", (*COMMAND, "audit", "verify"), only_reads=True),
    ReadOnly(".dvc/cache", (*AGAIN, "tokens")),
    ReadOnly("data", (*AGAIN, "tokens")),
    ReadOnly("reports", (*AGAIN, "claims")),
    ReadOnly(".", ("dvc", "repro")),
    ReadOnly(".", (*COMMAND, "repro")),
    ReadOnly(".", (*COMMAND, "params", "--profile", "smoke")),
    ReadOnly(".", (*PYTHON, "stages.tokens")),
    ReadOnly(".", (*PYTHON, "stages.claims")),
    ReadOnly(".", (*COMMAND, "doctor")),
    ReadOnly(".", (*COMMAND, "plan", "--no-probe"), only_reads=True),
    ReadOnly(".", (*COMMAND, "summary"), only_reads=True),
    ReadOnly(".", (*COMMAND, "audit", "verify"), only_reads=True),
    ReadOnly(".", (*COMMAND, "audit", "derive", "random-parabola"), only_reads=True),
]


def trials(every: int = 1) -> Iterator[Trial]:
    """None where this process may not mount anything, which is said."""
    with prepared_workspace() as pristine, tempfile.TemporaryDirectory() as name:
        workspace = copied(pristine, Path(name) / "workspace")
        workspace.commit("everything ran")
        reference = workspace.artifacts()
        try:
            for case in CASES[::every]:
                yield trial(case, workspace, reference)
        except PermissionError as refused:
            print(f"  {GROUP} is left out: {refused}", flush=True)


@contextlib.contextmanager
def read_only(folder: Path) -> Iterator[None]:
    """Nobody can write below a folder.

    Raises:
        PermissionError: this process may not mount anything.
    """
    done = subprocess.run(["mount", "--bind", folder, folder], capture_output=True, text=True, check=False)
    if done.returncode:
        raise PermissionError(done.stderr.strip())
    try:
        subprocess.run(["mount", "-o", "remount,ro,bind", folder], check=True)
        yield
    finally:
        subprocess.run(["umount", folder], check=True)


def trial(case: ReadOnly, workspace: Workspace, reference: dict[str, str]) -> Trial:
    """The command while the folder cannot be written, and `dvc repro` afterwards.

    DVC takes outputs away before it makes them again, so they may be absent in between; none may be another.
    """
    if case.taken_away:
        (workspace.folder / case.taken_away).unlink()
    with tempfile.TemporaryDirectory() as site, read_only(workspace.folder / case.folder):
        done = subprocess.run(
            case.command,
            cwd=workspace.folder,
            env=workspace.environment(DVC_SITE_CACHE_DIR=site),
            capture_output=True,
            text=True,
            check=False,
        )
        during = workspace.artifacts()
    differ = sorted(path for path, sha256 in during.items() if reference.get(path) != sha256)
    start = time.monotonic()
    if not case.only_reads:
        workspace.repro_in_one_process()
    seconds = None if case.only_reads else round(time.monotonic() - start, 1)
    printed = f"{done.stdout}{done.stderr}".replace(str(workspace.folder), "…")
    lines = [line for line in printed.splitlines() if SAYS_SO.search(line)]
    if differ:
        outcome, says = WRONG, f"{len(differ)} files differ, {differ[0]} first"
    elif workspace.artifacts() != reference:
        outcome, says = LOST, "`dvc repro` does not bring back what was there"
    elif case.only_reads:
        outcome, says = (UNCLEAR, printed[-400:]) if done.returncode else (SURVIVED, "")
    else:
        clear = done.returncode and lines and "Traceback" not in printed
        outcome, says = (REFUSED, lines[-1]) if clear else (UNCLEAR, printed[-400:])
    where = "the workspace" if case.folder == "." else case.folder
    return Trial(GROUP, f"{where} is read-only", case.target, outcome, says, seconds=seconds)
