"""One mutant against the tests that import its module, in a copy of the repository."""

import contextlib
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

from darkmatter.storage.artifacts import sha256_bytes
from tests.mutants.by_imports import reaching
from tests.mutants.failures import VARIABLE
from tests.mutants.mutant import CAUGHT, ROOT, SURVIVED, Mutant

LIMIT = 240.0  # seconds for the tests of one mutant
NOT_RUN = (3, 4)  # return codes of pytest: an error of its own, or in what it was asked
STAMP = 2_000_000_000  # seconds; above the time of every file


class Copy:
    """A clone with the files that are here, in which one module at a time has a bug.

    Attributes:
        sound: tests that are known to pass without a bug.
        broken: tests that fail without one, too; they judge nothing.
    """

    def __init__(self, folder: Path) -> None:
        self.folder, self.writes = folder, 0
        self.sound: set[str] = set()
        self.broken: set[str] = set()
        git = ["git", "clone", "--quiet", "--no-checkout", str(ROOT), str(folder)]
        subprocess.run(git, check=True)
        listed = ["git", "ls-files", "--cached", "--others", "--exclude-standard"]
        names = subprocess.run(listed, cwd=ROOT, capture_output=True, text=True, check=True).stdout.splitlines()
        for name in names:
            if (ROOT / name).is_file():
                (folder / name).parent.mkdir(parents=True, exist_ok=True)
                shutil.copy2(ROOT / name, folder / name)
        subprocess.run(["git", "reset", "--quiet"], cwd=folder, check=True)  # the index, as in a checkout

    @contextlib.contextmanager
    def with_bug(self, mutant: Mutant) -> Iterator[None]:
        path = self.folder / mutant.module
        before = path.read_text(encoding="utf-8")
        self.write(path, mutant.planted(self.folder))
        try:
            yield
        finally:
            self.write(path, before)

    def write(self, path: Path, text: str) -> None:
        """With a time of change that no other version of the file has: Python keeps compiled code by it."""
        path.write_text(text, encoding="utf-8")
        self.writes += 1
        os.utime(path, (STAMP + self.writes, STAMP + self.writes))

    def failures(self, tests: Sequence[str], *options: str, seconds: float = LIMIT) -> list[str]:
        """The tests that fail in this time, in their order."""
        command = [sys.executable, "-m", "pytest", "-q", "--tb=no", "-p", "no:cacheprovider", *options]
        command += ["-p", "tests.mutants.failures", *(f"--deselect={name}" for name in self.broken), *tests]
        with tempfile.NamedTemporaryFile("r", encoding="utf-8") as file:
            own = {**os.environ, "PYTHONPATH": str(self.folder), VARIABLE: file.name}
            streams = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
            with contextlib.suppress(subprocess.TimeoutExpired):
                done = subprocess.run(command, cwd=self.folder, env=own, timeout=seconds, check=False, **streams)
                if done.returncode in NOT_RUN:
                    raise RuntimeError(f"pytest ended with {done.returncode} before it ran a test: {' '.join(command)}")
            return file.read().splitlines()

    def settle(self, tests: Iterable[str]) -> None:
        """Find out of tests whether they pass without a bug, all in one run."""
        if asked := sorted({*tests} - self.sound - self.broken):
            failed = self.failures(asked)
            self.broken |= {*failed}
            self.sound |= {*asked} - self.broken

    def trial(self, mutant: Mutant) -> dict[str, Any]:
        """What the tests make of a bug: the first one that fails, which `settle` must find sound, or that none does."""
        start, files, failed = time.monotonic(), 0, list[str]()
        for step in reaching(mutant.module, self.folder):
            left = LIMIT - (time.monotonic() - start)
            if failed or left <= 0:
                break
            files += len(step)
            with self.with_bug(mutant):
                failed = self.failures(step, "-x", seconds=left)
        by = failed[0] if failed else ""
        seconds = round(time.monotonic() - start, 1)
        facts = mutant.facts() | {"outcome": CAUGHT if by else SURVIVED, "by": by, "files": files}
        return facts | {"seconds": seconds, "key": key(mutant, by, self.folder)}


def key(mutant: Mutant, by: str, root: Path = ROOT) -> str:
    """What the result hangs on: the module, and the file of the test that fails or all that none does.

    Where it is the same the result need not be had again.
    """
    files = [by.split("::")[0]] if by else [name for step in reaching(mutant.module, root) for name in step]
    contents = [(root / name).read_bytes() if (root / name).is_file() else b"" for name in (mutant.module, *files)]
    return sha256_bytes(b"\0".join([mutant.replacement.encode(), *contents]))[:16]
