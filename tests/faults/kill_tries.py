"""The kills of `kills.py`, in a workspace that has run: a try takes a stage back, kills its second run, and repairs it.

A stage or `dvc` that is imported anew costs more than these stages compute, so both are forks of this process but where
`dvc` itself is killed: there everything is as a user starts it. Nothing is forked while a thread runs.

run, in a workspace: python -P kill_tries.py FOLDER POINTS PART PARTS
"""

import stages  # noqa: F401, I001 - before the libraries, which read its variables when they are imported
import contextlib
import hashlib
import itertools
import json
import os
import random
import runpy
import shlex
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import dvc.stage.run
import psutil
import sae_lens  # noqa: F401 - once for all stages, with torch and transformers
import yaml
from dvc.cli import main
from dvc.stage.exceptions import StageCmdFailedError

HERE = Path.cwd()
PATIENCE = 6.0  # seconds in which what outlives a kill must have ended
KEPT_UNITS = "data/.units"
VOLATILE = ("receipts", "report.html")
LOCK = "dvc.lock"
WRITING = "dvc as it writes dvc.lock"
CRASH = "dvc and the keeper of dvc.lock as it is written"  # as a crash of the machine; `darkmatter repro` repairs it
AT_THE_LOCK = (WRITING, CRASH)


def stage_in_a_fork(executable: str, command: str, **options: Any) -> None:
    """`python -m stages.NAME ARGUMENTS` in a fork, as DVC runs it in a process of its own."""
    started_by = os.getpid()
    if (child := os.fork()) == 0:
        os.environ.update(options["env"], DARKMATTER_STARTED_BY=str(started_by))
        _, _, module, *arguments = shlex.split(command)
        sys.argv = [module, *arguments]
        try:
            runpy.run_module(module, run_name="__main__", alter_sys=True)
        except SystemExit as left:
            print(left, file=sys.stderr, flush=True)
            os._exit(1 if left.code else 0)
        except BaseException as error:
            print(repr(error), file=sys.stderr, flush=True)
            os._exit(1)
        os._exit(0)
    if status := os.waitpid(child, 0)[1]:
        raise StageCmdFailedError(command, status)


def start_fork(folder: Path, *arguments: str, **environment: str) -> int:
    """`dvc ARGUMENTS` in a fork that leads its own process group."""
    if child := os.fork():
        return child
    os.setsid()
    os.chdir(folder)
    os.environ.update(environment, DVC_SITE_CACHE_DIR=str(folder / ".dvc/tmp/site"))
    log = os.open(folder / "log", os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
    for stream in (1, 2):
        os.dup2(log, stream)
    dvc.stage.run._run = stage_in_a_fork
    code = 1
    with contextlib.suppress(BaseException):
        code = main(list(arguments))
    os._exit(code)


def start_process(folder: Path, *command: str) -> subprocess.Popen:
    """A command as a user starts it."""
    own = {**os.environ, "DVC_SITE_CACHE_DIR": str(folder / ".dvc/tmp/site")}
    with (folder / "log").open("wb") as log:
        return subprocess.Popen(command, cwd=folder, env=own, stdout=log, stderr=log, start_new_session=True)


def hashes(folder: Path) -> dict[str, tuple[str, int]]:
    """SHA-256 and size of every artifact that promises the same bytes."""
    places = [path for path in (folder / "data").iterdir() if not path.name.startswith(".")]
    files = [file for place in [*places, folder / "reports"] for file in place.rglob("*") if file.is_file()]
    files += [place for place in places if place.is_file()]
    return {
        file.relative_to(folder).as_posix(): (hashlib.sha256(file.read_bytes()).hexdigest(), file.stat().st_size)
        for file in files
        if not {*VOLATILE} & {*file.relative_to(folder).parts}
    }


def taken_back(to: Path, stage: str) -> Path:
    """A copy of the workspace in which the stage has not run: no output, no record, no stored unit."""
    shutil.copytree(HERE, to, symlinks=True)
    lock = yaml.load((to / "dvc.lock").read_text(), yaml.CSafeLoader)
    entry = lock["stages"].pop(stage)
    (to / "dvc.lock").write_text(yaml.dump(lock, Dumper=yaml.CSafeDumper, sort_keys=False))
    shutil.rmtree(to / ".dvc/cache/runs", ignore_errors=True)
    for out in entry["outs"]:
        path = to / out["path"]
        shutil.rmtree(path) if path.is_dir() else path.unlink(missing_ok=True)
    for units in (to / KEPT_UNITS).glob(f"{stage.split('@')[0]}*"):
        shutil.rmtree(units)
    return to


def remove(folder: Path) -> None:
    """Remove a workspace, while what waited for the end of `dvc` takes its mark away."""
    shutil.rmtree(folder, ignore_errors=True)


def stored(folder: Path) -> dict[str, int]:
    """The finished units, each with the number of its folder, which another computation would make anew."""
    places = (folder / KEPT_UNITS).glob("*/*")
    return {path.as_posix(): path.stat().st_ino for path in places if not path.name.startswith(".")}


def living(folder: Path) -> list[str]:
    """Command lines of the processes at work in a folder."""
    result = []
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error):
            if Path(process.cwd()) == folder and process.status() != psutil.STATUS_ZOMBIE:
                result.append(" ".join(process.cmdline()))
    return result


def ended(child: int) -> bool:
    return os.waitpid(child, os.WNOHANG)[0] != 0


def workers_of(child: int) -> list[psutil.Process]:
    """Processes that compute units: children of the fork server of the stage."""
    below = psutil.Process(child).children(recursive=True)
    servers = [process for process in below if "forkserver" in " ".join(process.cmdline())]
    return [worker for server in servers for worker in server.children()]


def cut(folder: Path, child: int, share: float) -> int:
    """Wait until DVC has written about this share of dvc.lock, which it does in place; bytes that are there then."""
    lock = folder / LOCK
    whole = size = lock.stat().st_size
    while size >= whole and not ended(child):
        time.sleep(0.001)
        size = lock.stat().st_size
    while size < share * whole and not ended(child):
        time.sleep(0.001)
        size = lock.stat().st_size
    return size


def strike_at_the_lock(who: str, folder: Path, stage: str) -> str:
    """Start the stage, and kill DVC while it writes dvc.lock; what was there of it."""
    child = start_fork(folder, "repro", "-s", stage, DARKMATTER_WORKERS="1")
    size = cut(folder, child, random.uniform(0, 0.9))
    if who == CRASH:
        with contextlib.suppress(ProcessLookupError):
            os.kill(child, signal.SIGSTOP)
        for process in psutil.process_iter():
            with contextlib.suppress(psutil.Error):
                if Path(process.cwd()) == folder and "darkmatter.runner.lock_keeper" in process.cmdline():
                    process.kill()
    with contextlib.suppress(ProcessLookupError, ChildProcessError):  # it had ended
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
    return f"{size:,} bytes of {LOCK} were written"


def strike(who: str, folder: Path, stage: str, moment: float) -> None:
    """Start the stage, and kill at a moment."""
    real = who in ("dvc", "the process group")
    workers = {"DARKMATTER_WORKERS": "2" if who == "a worker" else "1"}
    process = start_process(folder, "dvc", "repro", "-s", stage) if real else None
    child = process.pid if process else start_fork(folder, "repro", "-s", stage, **workers)
    end = time.monotonic() + moment
    try:
        while time.monotonic() < end and not ended(child):
            time.sleep(0.005)
        if who == "a worker":
            until = time.monotonic() + 30
            while not (found := workers_of(child)) and not ended(child) and time.monotonic() < until:
                time.sleep(0.02)
            if found:
                random.choice(found).kill()
        elif who == "the process group":
            os.killpg(child, signal.SIGKILL)
        elif who == "dvc":
            os.kill(child, signal.SIGKILL)
        else:
            for below in psutil.Process(child).children():
                below.kill()
    except (ProcessLookupError, psutil.NoSuchProcess, ChildProcessError):
        return  # it had ended
    with contextlib.suppress(ChildProcessError):
        os.waitpid(child, 0)  # DVC takes a process that nobody has asked about for one that lives


def trial(who: str, number: int, stage: str, longest: float, reference: dict, work: Path) -> dict[str, Any]:
    folder, says = taken_back(work / str(number), stage), ""
    if who in AT_THE_LOCK:
        says = strike_at_the_lock(who, folder, stage)
    else:
        strike(who, folder, stage, random.uniform(0, longest))
    until = time.monotonic() + PATIENCE
    while (left := living(folder)) and time.monotonic() < until:
        time.sleep(0.05)
    kept, start = stored(folder), time.monotonic()
    if who == CRASH:
        code = start_process(folder, sys.executable, "-m", "darkmatter.cli", "repro").wait()
    else:
        child = start_fork(folder, "repro", DARKMATTER_WORKERS="1")
        code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    seconds, found = time.monotonic() - start, hashes(folder)
    after = stored(folder)
    again = [unit for unit in kept if after.get(unit, kept[unit]) != kept[unit]]
    differ = [path for path in reference.keys() | found.keys() if reference.get(path) != found.get(path)]
    lost = sum(reference[path][1] for path in differ if path in reference and path not in found)
    log = (folder / "log").read_text(errors="replace").strip().splitlines()
    outcome = "survived"
    if left:
        outcome, says = "silently_wrong", f"{len(left)} processes lived on: {left[0][:100]}"
    elif code:
        outcome, says = "unclear", f"dvc repro ended with {code}: {' '.join(log[-3:])[-400:]}"
    elif differ:
        outcome, says = (
            "silently_wrong",
            f"{len(differ)} files differ from the undisturbed run, {sorted(differ)[0]} first",
        )
    elif again:
        outcome, says = "lost", f"{len(again)} units that were finished were computed again"
    if outcome == "survived":
        remove(folder)
    facts = {"group": "kills", "fault": f"SIGKILL of {who}", "target": stage, "outcome": outcome, "says": says}
    return facts | {"bytes_lost": lost, "seconds": round(seconds, 2)}


def run(work: Path, points: dict[str, int], part: int, parts: int) -> None:
    """So many kills of each; the parts take stages in turn, so that together they meet every stage."""
    random.seed(part)
    reference = hashes(HERE)
    names = list(yaml.load(Path("dvc.lock").read_text(), yaml.CSafeLoader)["stages"])
    random.Random(0).shuffle(names)
    took: dict[tuple[bool, str], float] = {}
    number = 0
    for who, count in points.items():
        real = who in ("dvc", "the process group")
        able = [name for name in names if who != "a worker" or (HERE / KEPT_UNITS / name).is_dir()]
        for stage in itertools.islice(itertools.cycle(able), part, part + parts * count, parts):
            number += 1
            if (
                who not in AT_THE_LOCK and (real, stage) not in took
            ):  # an undisturbed run, for the moments to be drawn from
                folder = taken_back(work / f"{number}-undisturbed", stage)
                start = time.monotonic()
                if real:
                    start_process(folder, "dvc", "repro", "-s", stage).wait()
                else:
                    os.waitpid(start_fork(folder, "repro", "-s", stage, DARKMATTER_WORKERS="1"), 0)
                took[real, stage] = time.monotonic() - start
                remove(folder)
            print(json.dumps(trial(who, number, stage, took.get((real, stage), 0.0), reference, work)), flush=True)


if __name__ == "__main__":
    run(Path(sys.argv[1]), json.loads(sys.argv[2]), int(sys.argv[3]), int(sys.argv[4]))
