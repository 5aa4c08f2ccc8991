"""A worker, a node and the driver, killed while the units of a stage are computed on a Ray cluster of two nodes.

A stage whose worker or node dies must end well all the same; one that dies itself must resume where it was.
"""

import contextlib
import importlib.util
import os
import shutil
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psutil
from workspace import Workspace

from tests.faults.kills import prepared_workspace
from tests.faults.surroundings import copied
from tests.faults.trial import LOST, SURVIVED, UNCLEAR, WRONG, Trial

GROUP = "ray_kills"
STAGES = ("saes", "pursuit", "synthetic_noise")  # trains, encodes, draws: each has a dozen units or more
VICTIMS = ("a worker", "a node", "the driver")
# The first three hit each stage and each victim once.
PAIRS = [(STAGES[(one + turn) % 3], victim) for turn in range(3) for one, victim in enumerate(VICTIMS)]
UNITS = Path("data/.units")
TASK, PATIENCE, LIMIT = "ray::compute_on_node", 15.0, 300.0  # what Ray calls a worker at work; seconds


def trials(every: int = 1) -> Iterator[Trial]:
    """Each victim in each stage; with `every` above 1 only one stage for each. None without Ray, which is said."""
    if importlib.util.find_spec("ray") is None:
        print(f"  {GROUP} is left out: Ray is not installed", flush=True)
        return
    with prepared_workspace() as pristine, cluster_of_one() as cluster, tempfile.TemporaryDirectory() as name:
        reference = pristine.artifacts()
        for number, (stage, victim) in enumerate(PAIRS if every == 1 else PAIRS[: len(VICTIMS)]):
            yield trial(copied(pristine, Path(name) / str(number)), cluster, stage, victim, reference)


@contextlib.contextmanager
def cluster_of_one() -> Iterator[Any]:
    """A cluster with one node of one core, which stays; the other node is added for each trial."""
    os.environ.setdefault("RAY_TMPDIR", "/tmp")  # noqa: S108 - the paths of Ray's sockets must be short
    from ray.cluster_utils import Cluster

    cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 1, "include_dashboard": False})
    try:
        yield cluster
    finally:
        cluster.shutdown()


def trial(workspace: Workspace, cluster: Any, stage: str, victim: str, reference: dict[str, str]) -> Trial:
    """The stage anew on the cluster, with the kill once two units are stored; then the stage again, and `dvc repro`."""
    folder = workspace.folder
    for units in (folder / UNITS).glob(f"{stage}*"):
        shutil.rmtree(units)
    node = cluster.add_node(num_cpus=1)
    cluster.wait_for_nodes()
    run = start(workspace, cluster, stage)
    try:
        found = struck(victim, run, folder, stage, lambda: cluster.remove_node(node, allow_graceful=False))
        kept, begun = stored(folder), time.monotonic()
        code, left = run.wait(timeout=LIMIT), outlived(folder)
        if victim == "the driver":
            kept = stored(folder)
            code = start(workspace, cluster, stage).wait(timeout=LIMIT)
            left += outlived(folder)
        seconds = round(time.monotonic() - begun, 1)
    finally:
        if victim != "a node":
            cluster.remove_node(node)
    log = (folder / "log").read_text(errors="replace").strip().splitlines()
    workspace.repro_in_one_process()
    after, artifacts = stored(folder), workspace.artifacts()
    again = [unit for unit, number in kept.items() if after.get(unit) != number]
    differ = sorted(path for path in reference if artifacts.get(path) != reference[path])
    outcome, says = SURVIVED, f"{sum(f'/{stage}' in unit for unit in kept)} of its units were stored"
    if not found:
        outcome, says = UNCLEAR, f"{victim} was not found at work: {' '.join(log[-3:])[-400:]}"
    elif left:
        outcome, says = WRONG, f"{len(left)} processes lived on: {left[0][:100]}"
    elif code:
        outcome, says = UNCLEAR, f"the stage ended with {code}: {' '.join(log[-3:])[-400:]}"
    elif differ:
        outcome, says = WRONG, f"{len(differ)} files differ from the undisturbed run, {differ[0]} first"
    elif again:
        outcome, says = LOST, f"{len(again)} of {len(kept)} units that were finished were computed again"
    shutil.rmtree(folder)
    return Trial(GROUP, f"SIGKILL of {victim} of Ray", stage, outcome, says, seconds=seconds)


def start(workspace: Workspace, cluster: Any, stage: str) -> subprocess.Popen:
    """`dvc repro` of the stage alone, which runs it though its outputs are there."""
    own = workspace.environment(DARKMATTER_EXECUTOR="ray", RAY_ADDRESS=cluster.address)
    command = ["dvc", "repro", "--force", "--single-item", stage]
    with (workspace.folder / "log").open("wb") as log:
        return subprocess.Popen(command, cwd=workspace.folder, env=own, stdout=log, stderr=log)


def struck(victim: str, run: subprocess.Popen, folder: Path, stage: str, end_node: Callable[[], None]) -> bool:
    """Kill the victim once two units are stored; whether it was at work then."""
    until = time.monotonic() + LIMIT
    while len(stored(folder, stage)) < 2 and run.poll() is None and time.monotonic() < until:
        time.sleep(0.005)
    if victim == "a node":
        at_work = run.poll() is None
        end_node()
        return at_work
    sought = TASK if victim == "a worker" else f"stages.{stage}"
    while run.poll() is None and time.monotonic() < until:
        for process in at(folder):
            with contextlib.suppress(psutil.Error):
                if any(word.startswith(sought) for word in process.cmdline()):
                    process.kill()
                    return True
    return False


def stored(folder: Path, stage: str = "") -> dict[str, int]:
    """The finished units, each with the number of its folder, which another computation would make anew."""
    places = (folder / UNITS).glob(f"{stage}*/*")
    return {path.as_posix(): path.stat().st_ino for path in places if not path.name.startswith(".")}


def at(folder: Path) -> Iterator[psutil.Process]:
    """The processes at work in a folder."""
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error):
            if process.status() != psutil.STATUS_ZOMBIE and Path(process.cwd()) == folder:
                yield process


def outlived(folder: Path) -> list[str]:
    """Command lines of what is still at work in a folder after some time."""
    until = time.monotonic() + PATIENCE
    while (left := list(at(folder))) and time.monotonic() < until:
        time.sleep(0.1)
    return [" ".join(process.cmdline()) for process in left]
