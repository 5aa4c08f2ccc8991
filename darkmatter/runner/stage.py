"""The frame around every stage: parameters in, one clear error or artifacts out, and a receipt.

A stage file holds a `main(stage)` with three acts (read, compute, write) and ends with `run(main)`.
Receipts are the volatile tier: they hold times and machines, and no stage ever reads one but the report. Where DVC
passes over a stage because another profile has made the same, its receipt is brought from there (`passed_over`).
"""

import os
import platform
import resource
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil

from darkmatter.params.schema import Params, load_params
from darkmatter.params.types import ParamsError
from darkmatter.runner import lock_keeper
from darkmatter.runner.arithmetic import FLOAT32
from darkmatter.runner.code_identity import ROOT, closure, source_of
from darkmatter.runner.passed_over import bring_receipts
from darkmatter.runner.pipeline_file import current_params, declared_params
from darkmatter.runner.processes import die_with_parent, worker_count
from darkmatter.runner.staleness import brief
from darkmatter.runner.unit import UnitError, library_versions, peak_memory
from darkmatter.runner.units import UnitRecord, input_hash
from darkmatter.storage.artifacts import ArtifactError, write_json
from darkmatter.storage.listings import list_files, listed_sha256
from darkmatter.storage.paths import DATA, reports_of

# NumPy's error of a file that it could not write to its end gives two numbers and no errno.
NOT_WRITTEN = ": a file was not written to its end. Is the disk full, or the size of files limited?"


class Stage:
    """What a running stage knows: its parameters, what it has read and written, and its units.

    Attributes:
        reports: where what is committed of the profile stands.
        arithmetic: of its passes through the model and its training; the receipt has it beside the CPU.
    """

    def __init__(self, name: str, params: Params, source: Path) -> None:
        self.name = name
        self.params = params
        self.reports = reports_of(params.profile)
        self.source = source
        self.started = psutil.Process().create_time()
        self.inputs: list[Path] = []
        self.outputs: list[Path] = []
        self.notes: dict[str, Any] = {}
        self.units = UnitRecord()
        self.arithmetic = FLOAT32

    def reads(self, path: Path) -> Path:
        """Register an input and return it.

        Raises:
            ArtifactError: it does not exist.
        """
        if not path.exists():
            raise ArtifactError(f"{self.name} needs {path}, which does not exist. Run `dvc repro` to make it.")
        self.inputs.append(path)
        return path

    def writes(self, path: Path) -> Path:
        """Register an output and return it."""
        self.outputs.append(path)
        return path

    def receipt(self) -> dict[str, Any]:
        own, children = (resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
        cpu_seconds = sum(use.ru_utime + use.ru_stime for use in (own, children)) + self.units.cpu_seconds
        peaks = [
            peak_memory(resource.RUSAGE_SELF),
            peak_memory(resource.RUSAGE_CHILDREN),
            self.units.peak_memory_bytes,
        ]
        files = {path.as_posix(): list_files(path) for path in self.outputs}
        return {
            "stage": self.name,
            "command": " ".join(["python", "-m", f"stages.{self.source.stem}", *sys.argv[1:]]),
            "profile": self.params.profile,
            "revision": git_revision(),
            "started": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(self.started)),
            "seconds": round(time.time() - self.started, 2),
            "cpu_seconds": round(cpu_seconds, 2),
            "peak_memory_bytes": max(peaks),  # of the largest process
            "machine": machine()
            | {"workers": worker_count(self.params.device), "threads_per_worker": 1, "arithmetic": self.arithmetic},
            "libraries": library_versions(),
            "units": {"computed": self.units.computed, "reused": self.units.reused},
            "code": {path.relative_to(ROOT).as_posix(): input_hash(path) for path in closure(self.source)},
            "inputs": {path.as_posix(): input_hash(path) for path in self.inputs},
            "outputs": {path: listed_sha256(path, listing) for path, listing in files.items()},
            "files": {
                file: sha256
                for path, listing in files.items()
                if DATA in Path(path).parents  # git has the others
                for file, sha256 in listing.items()
            },
            "notes": self.notes,
        }


def run(main: Callable[[Stage], None], name: str | None = None) -> None:
    """Run a stage and end the process: 0, or 1 with one line that says what is wrong and what fixes it."""
    die_with_parent()
    source = source_of(main.__module__)
    name = name or "@".join([source.stem, *sys.argv[1:]])
    try:
        lock_keeper.watch()
        stage = Stage(name, load_params(), source)
        params = current_params(declared_params(name, ROOT), ROOT)
        main(stage)
        check_unchanged(params)
        receipt = stage.receipt() | {"params": params}
        write_json(stage.reports.receipts / f"{name}.json", receipt)
        bring_receipts(receipt["inputs"], stage.reports.receipts)
    except (ArtifactError, ParamsError, UnitError) as error:
        sys.exit(f"error in stage {name}: {error}")
    except OSError as error:
        sys.exit(f"error in stage {name}: {error}{'' if error.errno else NOT_WRITTEN}")
    except MemoryError as error:
        detail = f" ({error})" if str(error) else ""
        sys.exit(f"error in stage {name}: there is not enough memory{detail}. Free some, or set DARKMATTER_WORKERS=1.")


def check_unchanged(params: dict[str, Any]) -> None:
    """Refuse what was made while params.yaml changed: DVC reads it after the stage, and would take it for what ran.

    Args:
        params: what the stage declares, as it was when the stage began.

    Raises:
        ParamsError: something of that is another now.
    """
    now = current_params(params, ROOT)
    if changed := [key for key, value in params.items() if now[key] != value]:
        raise ParamsError(
            f"params.yaml has another {brief(changed)} than when it began (`dvc exp run`, `darkmatter params` or a "
            "person was at work), so what it made is not kept as up to date. Run `dvc repro` again: finished units are "
            "stored."
        )


def machine() -> dict[str, Any]:
    return {
        "cpu": cpu_model(),
        "cores": os.cpu_count(),
        "platform": platform.platform(),
        "python": platform.python_version(),
    }


def git_revision() -> str | None:
    """The commit checked out, with `+` where tracked files differ from it; None outside git."""
    run_git = lambda *words: subprocess.run(["git", *words], capture_output=True, text=True, check=False)  # noqa: E731
    head = run_git("rev-parse", "HEAD")
    if head.returncode:
        return None
    changed = run_git("status", "--porcelain", "--untracked-files=no", "--", "darkmatter", "stages", "conf")
    return head.stdout.strip() + ("+" if changed.stdout.strip() else "")


def cpu_model() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor()
    return next((line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")), "unknown")
