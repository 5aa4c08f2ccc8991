"""One mutant against the tests that import its module, in a copy of the repository."""

import contextlib
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from darkmatter.storage.artifacts import sha256_bytes
from tests.mutants.by_imports import tests_of
from tests.mutants.failures import VARIABLE
from tests.mutants.mutant import CAUGHT, ROOT, SURVIVED, Mutant

LIMIT = 400.0  # seconds for the tests of one mutant
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

    def first_failure(self, tests: Sequence[str], seconds: float) -> str | None:
        """The first test that fails; None where none does in this time."""
        command = [sys.executable, "-m", "pytest", "-x", "-q", "--tb=no", "-p", "no:cacheprovider"]
        command += ["-p", "tests.mutants.failures", *(f"--deselect={name}" for name in self.broken), *tests]
        with tempfile.NamedTemporaryFile("r", encoding="utf-8") as failures:
            own = {**os.environ, "PYTHONPATH": str(self.folder), VARIABLE: failures.name}
            with contextlib.suppress(subprocess.TimeoutExpired):
                subprocess.run(
                    command,
                    cwd=self.folder,
                    env=own,
                    stdout=subprocess.DEVNULL,
                    stderr=subprocess.DEVNULL,
                    check=False,
                    timeout=seconds,
                )
            return next(iter(failures.read().splitlines()), None)

    def passes(self, test: str) -> bool:
        """Whether a test passes as things stand without a bug."""
        if test not in self.sound | self.broken:
            (self.broken if self.first_failure([test], LIMIT) else self.sound).add(test)
        return test in self.sound

    def trial(self, mutant: Mutant) -> dict[str, Any]:
        """What the tests make of a bug: the first one to fail that passes without it, or that none does."""
        start, files = time.monotonic(), 0
        for step in tests_of(mutant.module):
            files += len(step)
            while (left := LIMIT - (time.monotonic() - start)) > 0:
                with self.with_bug(mutant):
                    failed = self.first_failure(step, left)
                if failed and self.passes(failed):
                    return result(mutant, CAUGHT, failed, files, start)
                if not failed:
                    break
            if left <= 0:
                break
        return result(mutant, SURVIVED, "", files, start)


def result(mutant: Mutant, outcome: str, by: str, files: int, start: float) -> dict[str, Any]:
    seconds = round(time.monotonic() - start, 1)
    facts = mutant.facts() | {"outcome": outcome, "by": by, "files": files, "seconds": seconds}
    return facts | {"key": key(mutant, by)}


def key(mutant: Mutant, by: str) -> str:
    """What the result hangs on: the module, and the file of the test that fails or all that none does.

    Where it is the same the result need not be had again.
    """
    files = [by.split("::")[0]] if by else [name for step in tests_of(mutant.module) for name in step]
    contents = [(ROOT / name).read_bytes() if (ROOT / name).is_file() else b"" for name in (mutant.module, *files)]
    return sha256_bytes(b"\0".join([mutant.replacement.encode(), *contents]))[:16]
