"""Machines as they are: other places and seeds, full disks, little memory, two users at once, secrets around."""

import contextlib
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import psutil
from workspace import Workspace

from tests.faults.kills import prepared_workspace
from tests.faults.trial import LOST, REFUSED, SURVIVED, UNCLEAR, WRONG, Trial

GROUP = "surroundings"
CANARY = "canary-3f9b-of-nobody"
STAGES, DRAWINGS = ("tokens", "random_features", "claims"), "figures"  # text, arithmetic, rules; figures take longer
EXPERIMENT = "figures.font_size=10"
AT_WORK = re.compile("lock|busy|than when it began", re.IGNORECASE)  # what names the other in a refusal
# The stages in turn, as `python -m stages.NAME`; limits are set once everything is imported.
PROGRAM = """
import stages, importlib, resource, runpy, sys
kind, limit, *names = sys.argv[1:]
for name in names:
    importlib.import_module(f"stages.{name}")
which = getattr(resource, "RLIMIT_AS" if kind == "memory" else kind or "RLIMIT_CPU")
before = resource.getrlimit(which)
if kind == "memory":
    limit = int(limit) + int(open("/proc/self/statm").read().split()[0]) * resource.getpagesize()
if kind:
    resource.setrlimit(which, (int(limit), before[1]))
try:
    for name in names:
        sys.argv = [f"stages.{name}"]
        runpy.run_module(f"stages.{name}", run_name="__main__", alter_sys=True)
finally:
    resource.setrlimit(which, before)  # libraries have something to say at the end, too
"""


@dataclass(frozen=True)
class Surroundings:
    """What is unusual.

    Attributes:
        limit: of the process: a name of `resource`, or `memory` for what it may use beyond the libraries; its value.
        stamp: time of change of every file, seconds.
        drawn: whether figures are drawn, too.
    """

    fault: str
    target: str
    environment: dict[str, str] = field(default_factory=dict)
    limit: tuple[str, int] = ("", 0)
    stamp: int | None = None
    drawn: bool = False


CASES = [
    Surroundings("another time zone", "Kiritimati", {"TZ": "Pacific/Kiritimati"}, drawn=True),
    Surroundings("another time zone", "Niue", {"TZ": "Pacific/Niue"}),
    Surroundings("another locale", "C", {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}),
    Surroundings("another locale", "Turkish", {"LC_ALL": "tr_TR.UTF-8"}, drawn=True),
    Surroundings("another order of sets", "PYTHONHASHSEED=1", {"PYTHONHASHSEED": "1"}),
    Surroundings("another order of sets", "PYTHONHASHSEED=4242", {"PYTHONHASHSEED": "4242"}, drawn=True),
    Surroundings("a clock set back", "files of 2040", stamp=2_208_988_800),
    Surroundings("a clock set back", "files of 1970", stamp=1),
    Surroundings("a file that may not grow", "1 kB", limit=("RLIMIT_FSIZE", 1000)),
    Surroundings("a file that may not grow", "30 kB", limit=("RLIMIT_FSIZE", 30_000)),
    Surroundings("little memory", "4 MB to spare", limit=("memory", 4 << 20)),
    Surroundings("few open files", "12", limit=("RLIMIT_NOFILE", 12)),
]


def trials(every: int = 1) -> Iterator[Trial]:
    with prepared_workspace() as workspace, tempfile.TemporaryDirectory() as name:
        reference = workspace.artifacts()
        for number, case in enumerate(CASES[::every]):
            yield trial(case, copied(workspace, Path(name) / str(number)), reference)
        yield full_disk(workspace, Path(name) / "disk", reference)
        yield two_at_once(copied(workspace, Path(name) / "two"), reference)
        yield experiment_beside(workspace, Path(name))
        yield secret(copied(workspace, Path(name) / "secret"))


def copied(workspace: Workspace, folder: Path) -> Workspace:
    shutil.copytree(workspace.folder, folder, symlinks=True)
    return at(folder)


def at(folder: Path) -> Workspace:
    result = Workspace.__new__(Workspace)
    result.folder = folder
    return result


def taken_back(workspace: Workspace) -> None:
    for name in STAGES:
        shutil.rmtree(workspace.folder / "data/.units" / name, ignore_errors=True)


def run_stages(workspace: Workspace, case: Surroundings) -> subprocess.CompletedProcess:
    command = [
        sys.executable,
        "-c",
        PROGRAM,
        case.limit[0],
        str(case.limit[1]),
        *STAGES,
        *([DRAWINGS] if case.drawn else []),
    ]
    return subprocess.run(
        command,
        cwd=workspace.folder,
        env=workspace.environment(**case.environment),
        capture_output=True,
        text=True,
        errors="replace",
        check=False,
    )


def judged(
    case: Surroundings, done: subprocess.CompletedProcess, workspace: Workspace, reference: dict[str, str]
) -> Trial:
    """The right files, or one clear line; and what was there before is there."""
    found = workspace.artifacts()
    differ = sorted(path for path in reference if found.get(path) != reference[path])
    last = (done.stderr.strip().splitlines() or [""])[-1].replace(str(workspace.folder), "…")
    if differ:
        lost = [path for path in differ if path not in found]
        outcome = LOST if lost else WRONG
        return Trial(GROUP, case.fault, case.target, outcome, f"{len(differ)} files differ, {differ[0]} first: {last}")
    if done.returncode == 0:
        return Trial(GROUP, case.fault, case.target, SURVIVED)
    clear = done.returncode == 1 and last.startswith("error in stage") and "Traceback" not in done.stderr
    return Trial(GROUP, case.fault, case.target, REFUSED if clear else UNCLEAR, last[-500:])


def trial(case: Surroundings, workspace: Workspace, reference: dict[str, str]) -> Trial:
    taken_back(workspace)
    if case.stamp is not None:
        for path in workspace.folder.rglob("*"):
            if path.is_file() and not path.is_symlink():
                os.utime(path, (case.stamp, case.stamp))
    result = judged(case, run_stages(workspace, case), workspace, reference)
    shutil.rmtree(workspace.folder)
    return result


def full_disk(workspace: Workspace, folder: Path, reference: dict[str, str]) -> Trial:
    """The workspace on a small file system of its own, which is full; only who may mount one can try."""
    case = Surroundings("a full disk", "a file system of its own")
    folder.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=300m", "tmpfs", str(folder)], capture_output=True, check=False
    )
    try:
        place = copied(workspace, folder / "inner")
        taken_back(place)
        if mounted.returncode:
            return trial(Surroundings(case.fault, "files of 2 kB", limit=("RLIMIT_FSIZE", 2000)), place, reference)
        with contextlib.suppress(OSError), (folder / "rest").open("wb") as rest:
            while rest.write(b"0" * 4096):
                rest.flush()
        return judged(case, run_stages(place, case), place, reference)
    finally:
        if not mounted.returncode:
            subprocess.run(["umount", str(folder)], check=False)


def two_at_once(workspace: Workspace, reference: dict[str, str]) -> Trial:
    """Two `dvc repro` of one stage: each ends well, or says that the other is at work; then all is right."""
    taken_back(workspace)
    command = ["dvc", "repro", "--force", "--single-item", "tokens"]
    streams = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT, "text": True}
    both = [
        subprocess.Popen(command, cwd=workspace.folder, env=workspace.environment(), **streams)  # type: ignore[call-overload]
        for _ in range(2)
    ]
    said = [one.communicate()[0] for one in both]
    refused = [text.strip().splitlines() for one, text in zip(both, said, strict=True) if one.returncode]
    start = time.monotonic()
    workspace.repro_in_one_process()
    seconds = round(time.monotonic() - start, 1)
    right = workspace.artifacts() == reference
    clear = all(any("lock" in line or "busy" in line.lower() for line in lines) for lines in refused)
    outcome = WRONG if not right else UNCLEAR if not clear or len(refused) == 2 else REFUSED if refused else SURVIVED
    says = " ".join(refused[0][-4:]).replace(str(workspace.folder), "…")[-400:] if refused else ""
    return Trial(GROUP, "two `dvc repro` at once", "one stage", outcome, says, 0, seconds)


def experiment_beside(pristine: Workspace, folder: Path) -> Trial:
    """`dvc exp run` while `dvc repro` runs the same stage: each ends well, or says that the other is at work.

    Then `dvc repro` must end as in a workspace that had these parameters from the beginning.
    """
    workspace, undisturbed = (copied(pristine, folder / name) for name in ("beside", "undisturbed"))
    workspace.commit("before an experiment")
    streams = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT, "text": True}

    def start(*command: str) -> subprocess.Popen[str]:
        own = workspace.environment()
        return subprocess.Popen(["dvc", *command], cwd=workspace.folder, env=own, **streams)  # type: ignore[call-overload]

    both = [start("repro", "--force", "--single-item", DRAWINGS)]
    wait_for_stage(workspace.folder, DRAWINGS)
    both.append(start("exp", "run", "-S", EXPERIMENT, DRAWINGS))
    said = [one.communicate()[0] for one in both]
    refused = [text.strip().splitlines() for one, text in zip(both, said, strict=True) if one.returncode]
    clear = all(any(AT_WORK.search(line) for line in lines) for lines in refused)
    begin = time.monotonic()
    workspace.repro_in_one_process()
    seconds = round(time.monotonic() - begin, 1)
    shutil.copyfile(workspace.folder / "params.yaml", undisturbed.folder / "params.yaml")
    undisturbed.repro_in_one_process()
    right = workspace.artifacts() == undisturbed.artifacts()
    outcome = WRONG if not right else REFUSED if refused and clear else UNCLEAR if refused else SURVIVED
    says = " / ".join(next((line for line in lines if AT_WORK.search(line)), lines[-1]) for lines in refused)
    return Trial(GROUP, "`dvc exp run` beside `dvc repro`", "one stage", outcome, says[-600:], 0, seconds)


def wait_for_stage(folder: Path, name: str) -> None:
    """Until the process of a stage works in a folder.

    Raises:
        RuntimeError: that has not come about.
    """
    end = time.monotonic() + 60
    while time.monotonic() < end:
        for process in psutil.process_iter(["cwd", "cmdline"]):
            if process.info["cwd"] == str(folder) and f"stages.{name}" in (process.info["cmdline"] or ()):
                return
        time.sleep(0.05)
    raise RuntimeError(f"the stage {name} has not begun")


def secret(workspace: Workspace) -> Trial:
    """Tokens in the environment of a whole `dvc repro`: no file of the repository, its cache or its logs has them."""
    tokens = {"HF_TOKEN": CANARY, "OPENAI_API_KEY": CANARY, "HUGGING_FACE_HUB_TOKEN": CANARY}
    said = workspace.run("dvc", "repro", "--force", "--single-item", "tokens", "claims", "report", **tokens)
    workspace.commit("after a run with secrets in the environment")
    files = [path for path in workspace.folder.rglob("*") if path.is_file() and not path.is_symlink()]
    found = [path for path in files if CANARY.encode() in path.read_bytes()]
    found += [Path("standard output")] if CANARY in said else []
    place = found[0].as_posix().replace(str(workspace.folder), "…") if found else f"none of {len(files)} files has it"
    return Trial(GROUP, "a secret in the environment", "every file", WRONG if found else SURVIVED, place)
