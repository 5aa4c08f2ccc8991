"""Run one stage again in a clean clone of HEAD, on the inputs that are here, and compare what it writes.

Stored units and DVC's run-cache are not used. Outputs promise the same bytes on one class of CPU; on another, the same
numbers within the tolerance of `compare`. Where only the numbers are the same the stage runs once more: what differs
between two runs on one machine is no other CPU's arithmetic, but something that nothing fixes.
"""

import codecs
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from darkmatter.audit.compare import TOLERANCE, compare
from darkmatter.audit.findings import AuditFinding
from darkmatter.audit.hashing import hash_path, object_path
from darkmatter.audit.history import git
from darkmatter.audit.lock import LOCK, LockedStage, Pipeline, read_pipeline
from darkmatter.storage.artifacts import ArtifactError, read_arrays, read_json
from darkmatter.storage.paths import REPORT

VOLATILE = {REPORT.as_posix()}  # holds the receipts' times
KEPT = 1 << 14  # characters of what a program prints that its reason is looked for in

UNFIXED = (
    f"two runs on this machine differ in their bytes, by less than {TOLERANCE:g}: the stage depends on something "
    "that nothing fixes, such as the time, a seed or the order of a set"
)


@dataclass(frozen=True)
class Output:
    """One file or folder that the stage wrote again.

    Attributes:
        same: `bytes`, `numbers` (within the tolerance), `no`, or `volatile` where nothing is promised.
        detail: what differs.
    """

    path: str
    same: str
    detail: str = ""

    def findings(self) -> Iterator[AuditFinding]:
        if self.same == "no":
            yield AuditFinding("differs", self.path, f"the rerun wrote something else: {self.detail}")


def rerun(name: str, root: Path) -> list[Output]:
    """Run the stage in a temporary clone.

    Raises:
        ArtifactError: there is no such stage, inputs are not here, HEAD would run something else, or it fails.
    """
    pipeline = read_pipeline(root)
    stage, commit = pipeline.stage(name), head(root)
    with tempfile.TemporaryDirectory(prefix="darkmatter-rerun-") as folder:
        clone = Path(folder) / "clone"
        call(["git", "clone", "--quiet", "--no-checkout", str(root.resolve()), str(clone)], root)
        call(["git", "checkout", "--quiet", "--detach", commit], clone)
        shutil.copyfile(root / LOCK, clone / LOCK)  # what is compared with, and what the inputs are taken from
        (clone / ".dvc" / "config.local").write_text(f"[cache]\n    dir = {pipeline.cache.parent.parent}\n")
        inputs = needed(stage, pipeline)
        for path, md5 in inputs.items():
            if not object_path(pipeline.cache, md5).exists():
                raise ArtifactError(f"{name} reads {path}, which is in no cache here: `make repro` or `dvc pull` first")
        if inputs:
            call(["dvc", "checkout", "--quiet", *sorted(inputs)], clone)
        if gone := [path for path in stage.deps if not (clone / path).exists()]:
            raise ArtifactError(f"{name} reads {gone[0]}, which is in no cache here: `dvc pull` or `dvc repro` first")
        if unlike := read_pipeline(clone).stage(name).gap or other_inputs(stage, pipeline, clone):
            raise ArtifactError(
                f"HEAD is not what {name} ran as: {unlike}. Commit what ran, or run it with `dvc repro`."
            )
        again = ["dvc", "repro", "--single-item", "--force", "--no-run-cache", "--no-commit", name]
        call(again, clone)
        outputs = [compare_output(out, md5, root, clone) for out, md5 in stage.outs.items()]
        if close := {output.path: hash_path(clone / output.path).md5 for output in outputs if output.same == "numbers"}:
            call(again, clone)
            loose = [path for path, md5 in close.items() if hash_path(clone / path).md5 != md5]
            outputs = [Output(one.path, "no", UNFIXED) if one.path in loose else one for one in outputs]
        return outputs


def needed(stage: LockedStage, pipeline: Pipeline) -> dict[str, str]:
    """Outputs of other stages that DVC keeps and this one reads → their MD5."""
    results = []
    for path in stage.deps:
        made = pipeline.producer(path)
        results += [made] if made else pipeline.outputs_within(path)
    return {
        out: producer.outs[out] for producer, out in sorted(results, key=lambda one: one[1]) if out in producer.cached
    }


def other_inputs(stage: LockedStage, pipeline: Pipeline, clone: Path) -> str | None:
    """Code or a committed input of the clone that the locked run did not have; None where all agree."""
    for path, md5 in stage.deps.items():
        made = pipeline.producer(path)
        parts = [made] if made else pipeline.outputs_within(path)
        kept = any(out in producer.cached for producer, out in parts)  # checked out of the cache by its MD5
        if not kept and hash_path(clone / path).md5 != md5:
            return f"it has another {path} than dvc.lock"
    return None


def call(command: list[str], folder: Path) -> None:
    """Run it there with the clone's code; what it prints goes to standard error.

    Raises:
        ArtifactError: it failed, and why as it told itself.
    """
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ.get('PATH', '')}"
    environment = {**os.environ, "PATH": path, "PYTHONPATH": str(folder), "DARKMATTER_FRESH": "1"}
    told, decoder = "", codecs.getincrementaldecoder("utf-8")("replace")
    with subprocess.Popen(
        command, cwd=folder, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, bufsize=0
    ) as process:
        while process.stdout and (chunk := process.stdout.read(KEPT)):
            text = decoder.decode(chunk)
            sys.stderr.write(text)
            told = (told + text)[-KEPT:]
    if process.returncode:
        raise ArtifactError(f"`{' '.join(command)}` failed in a clone of HEAD: {reason(told)}")


def reason(told: str) -> str:
    """Why a program failed, of what it printed: what the stage says, else the last exception, else the last line."""
    lines = [line.strip() for line in told.replace("\r", "\n").splitlines() if line.strip()]
    for pattern in (r"error in stage ", r"[\w.]*(Error|Exception)\b.*:"):
        if matching := [line for line in lines if re.match(pattern, line)]:
            return matching[-1]
    return lines[-1] if lines else "it printed nothing"


def head(root: Path) -> str:
    commit = git(root, "rev-parse", "HEAD")
    if commit is None:
        raise ArtifactError(f"{root.resolve()} is no git repository with a commit, so there is nothing to clone")
    return commit.decode().strip()


def compare_output(out: str, md5: str, root: Path, clone: Path) -> Output:
    """Against the lock; where the bytes differ, number by number against the files here."""
    if out in VOLATILE:
        return Output(out, "volatile", "holds times, so its bytes are never the same")
    again = hash_path(clone / out)
    if again.md5 == md5:
        return Output(out, "bytes")
    if not (root / out).exists():
        return Output(out, "no", f"MD5 {again.md5}, locked {md5}; the first run's is not here to compare numbers")
    names = sorted(again.files) or [""]
    if missing := sorted(hash_path(root / out).files.keys() ^ again.files.keys()):
        return Output(out, "no", f"files on one side only: {', '.join(missing[:3])}")
    for name in names:
        if detail := difference(root / out / name, clone / out / name):
            return Output(out, "no", f"{name or out}: {detail}")
    return Output(out, "numbers", f"within {TOLERANCE:g}")


def difference(one: Path, other: Path) -> str | None:
    """How two files differ beyond the tolerance; None where they do not."""
    if hash_path(one).md5 == hash_path(other).md5:
        return None
    if one.suffix == ".json":
        result = compare(read_json(one), read_json(other))
        place = next(iter(result.differing), None)
        return f"{place[0]} was {place[1]!r}, is {place[2]!r}" if place else None
    if one.suffix in (".npy", ".npz"):
        first, second = arrays(one), arrays(other)
        for name in sorted(first.keys() | second.keys()):
            if name not in first or name not in second or not close(first[name], second[name]):
                return f"array {name!r} differs"
        return None
    return "other bytes"


def arrays(path: Path) -> dict[str, np.ndarray]:
    return read_arrays(path) if path.suffix == ".npz" else {"": np.load(path, mmap_mode="r", allow_pickle=False)}


def close(one: np.ndarray, other: np.ndarray) -> bool:
    if one.shape != other.shape or one.dtype != other.dtype:
        return False
    if not np.issubdtype(one.dtype, np.inexact):
        return bool(np.array_equal(one, other))
    scale = float(np.abs(one[np.isfinite(one)]).max(initial=0.0))
    return bool(np.allclose(one, other, rtol=TOLERANCE, atol=TOLERANCE * scale, equal_nan=True))
