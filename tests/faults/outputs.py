"""Bits flipped in outputs, results, cache and remote, sizes and times as before: `darkmatter audit verify` tells."""

import json
import os
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
import toy

from darkmatter.audit.hashing import hash_file
from darkmatter.audit.verify import verify
from tests.faults.trial import REFUSED, SURVIVED, UNCLEAR, WRONG, Trial

GROUP = "outputs"
FILES, FLIPS, TOGETHER = 40, 200, 20  # files of the output; flips in all, and in one audit
RESULT = "reports/toy/results/use.json"
SPEED, SAMPLE = 350e6, 1 << 28  # bytes a second of one core; bytes that it is measured on
MAKE = f"""from pathlib import Path
import random
folder = Path("data/numbers")
folder.mkdir(parents=True, exist_ok=True)
own = random.Random(0)
for number in range({FILES}):
    (folder / f"{{number}}.bin").write_bytes(own.randbytes(own.randint(1, 60_000)))
(folder / "a.txt").write_text("97000\\n")
"""


def trials(every: int = 1) -> Iterator[Trial]:
    """All flips, or one set of so many."""
    with tempfile.TemporaryDirectory() as name, pytest.MonkeyPatch.context() as patch:
        patch.setattr(toy, "MAKE", MAKE)
        pristine = Path(name) / "pristine"
        pristine.mkdir()
        toy.build(pristine)
        toy.dvc(pristine, "remote", "add", "beside", "../remote")
        toy.dvc(pristine, "push", "--remote", "beside")
        found = {finding.path for finding in verify(pristine).findings}
        yield Trial(
            GROUP, "nothing at all", "outputs, cache and remote", WRONG if found else SURVIVED, ", ".join(found)
        )
        for number in range(0, FLIPS // TOGETHER, every):
            yield from flips(pristine, Path(name) / str(number), number)
        for fault, change in list(CHANGES.items())[::every]:
            yield changed(pristine, Path(name) / "changed", fault, change)
        yield speed(Path(name) / "sample")


def copied(pristine: Path, to: Path) -> Path:
    """The repository and its remote beside it."""
    shutil.copytree(pristine.parent / "remote", to / "remote")
    return toy.copy(pristine, to / "pristine")


def flips(pristine: Path, folder: Path, number: int) -> Iterator[Trial]:
    """One bit in each of several files: each is named, and no other."""
    root = copied(pristine, folder)
    places = {
        "an output": sorted((root / "data").rglob("*.*")),
        "a committed result": [root / RESULT],
        "an object of the cache": sorted(path for path in (root / ".dvc/cache/files").rglob("*") if path.is_file()),
        "an object of a remote": sorted(path for path in (folder / "remote").rglob("*") if path.is_file()),
    }
    random = np.random.default_rng(number)
    every = [(kind, path) for kind, paths in places.items() for path in paths]
    chosen = [every[index] for index in sorted(random.permutation(len(every))[:TOGETHER])]
    for _, path in chosen:
        flip(path, random)
    named = {(root / finding.path).resolve() for finding in verify(root).findings}
    false = named - {path.resolve() for _, path in every}
    listing_hit = any(path.name.endswith(".dir") for _, path in chosen)
    for kind, path in chosen:
        # Without the listing of a folder its files cannot be told apart: the folder is named.
        seen = path.resolve() in named or (listing_hit and (root / "data/numbers").resolve() in named)
        yield Trial(GROUP, "a bit flipped", kind, REFUSED if seen else WRONG, "named" if seen else "not named")
    if false - {(root / "data/numbers").resolve()}:
        yield Trial(GROUP, "nothing at all", "a file that was not touched", WRONG, f"{len(false)} named")
    shutil.rmtree(folder)


def flip(path: Path, random: np.random.Generator) -> None:
    """One bit anywhere; size, mode and times are as before."""
    stat, content = path.stat(), bytearray(path.read_bytes())
    content[random.integers(len(content))] ^= 1 << int(random.integers(8))
    path.chmod(0o644)
    path.write_bytes(content)
    path.chmod(stat.st_mode)
    os.utime(path, ns=(stat.st_atime_ns, stat.st_mtime_ns))


def key_twice(root: Path) -> None:
    path = root / RESULT
    path.write_text(path.read_text().rstrip()[:-1] + ', "n": 2}\n')


def edited(root: Path) -> None:
    (root / RESULT).write_text(json.dumps({"value": 1.0, "n": 1}) + "\n")


def blessed(root: Path) -> None:
    """Edited by hand, and DVC told to take it for the stage's."""
    edited(root)
    toy.dvc(root, "commit", "-f", "use")


def cut(root: Path) -> None:
    os.truncate(root / "data/numbers/3.bin", 0)


def removed(root: Path) -> None:
    (root / "data/numbers/3.bin").unlink()


def added(root: Path) -> None:
    (root / "data/numbers/more.bin").write_bytes(b"1")


def exchanged(root: Path) -> None:
    one, other = (root / f"data/numbers/{number}.bin" for number in (3, 4))
    content = one.read_bytes()
    one.write_bytes(other.read_bytes())
    other.write_bytes(content)


def linked(root: Path) -> None:
    """A link to a file outside, with other content."""
    outside = root.parent / "outside.bin"
    outside.write_bytes(b"1")
    path = root / "data/numbers/3.bin"
    path.unlink()
    path.symlink_to(outside)


CHANGES: dict[str, Callable[[Path], None]] = {
    "a name twice in a result": key_twice,
    "a result edited by hand": edited,
    "a result edited by hand, and `dvc commit -f`": blessed,
    "a file of an output cut short": cut,
    "a file of an output removed": removed,
    "a file added to an output": added,
    "two files of an output exchanged": exchanged,
    "a file of an output replaced by a link": linked,
}


def changed(pristine: Path, folder: Path, fault: str, change: Callable[[Path], None]) -> Trial:
    root = copied(pristine, folder)
    change(root)
    findings = verify(root).findings
    shutil.rmtree(folder)
    says = findings[0].message if findings else "verify found nothing"
    return Trial(GROUP, fault, "an output", REFUSED if findings else WRONG, says)


def speed(path: Path) -> Trial:
    """Bytes that one core hashes in a second."""
    path.write_bytes(os.urandom(SAMPLE))
    before = time.process_time()
    hash_file(path)
    rate = SAMPLE / (time.process_time() - before)
    says = f"{rate / 1e6:.0f} MB/s of one core, goal {SPEED / 1e6:.0f}"
    return Trial(GROUP, "gigabytes to hash", "a file of an output", SURVIVED if rate >= SPEED else UNCLEAR, says)
