"""What `dvc repro` takes where little or nothing changed: no change, a font size, one more SAE, a profile and back.

In a clone, so that nothing here changes. Its cache and stored units are hard links to those here: what DVC keeps in its
cache is read-only, and a unit is never written twice.
"""

import json
import os
import re
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

import yaml

from darkmatter.storage.artifacts import ArtifactError
from darkmatter.storage.paths import reports_of

PROFILE, OTHER = "smollm2", "smoke"
TIMES = 3  # of what changes nothing


@dataclass(frozen=True)
class Rerun:
    """One way of running the graph again.

    Attributes:
        seconds: median over `runs`.
        goal: the most seconds; None where only the number of stages counts.
        stages: those that ran.
        most_stages: how many may.
        computed: units that were computed; all others were found stored.
        dvcs_own: seconds outside of the stages, of the first run.
        starts: seconds that starting the stages takes alone: an interpreter, and what each of them imports.
    """

    name: str
    seconds: float
    runs: int
    goal: float | None
    stages: list[str]
    most_stages: int | None
    computed: int
    dvcs_own: float
    starts: float

    @property
    def reached(self) -> bool:
        quick = self.goal is None or self.seconds <= self.goal
        return quick and (self.most_stages is None or len(self.stages) <= self.most_stages)

    def facts(self) -> dict:
        return asdict(self) | {"reached": self.reached}


class Clone:
    """A clone of this repository with all of its data."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        here = Path.cwd()
        subprocess.run(["git", "clone", "--quiet", str(here), str(folder)], check=True)
        for part in (Path(".dvc/cache"), Path("data/.units")):
            shutil.copytree(here / part, folder / part, copy_function=os.link)
        self.run("dvc", "config", "--local", "cache.type", "hardlink,copy")
        self.run("dvc", "checkout", "--quiet")

    def run(self, *command: str) -> str:
        site = str(self.folder / ".dvc" / "tmp" / "site")
        path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
        threads = {name for name in os.environ if name.endswith("_NUM_THREADS")}  # a stage sets its own
        environment = {name: value for name, value in os.environ.items() if name not in threads}
        environment |= {"PATH": path, "PYTHONPATH": str(self.folder), "DVC_SITE_CACHE_DIR": site}
        done = subprocess.run(command, cwd=self.folder, env=environment, capture_output=True, text=True, check=False)
        if done.returncode:
            raise ArtifactError(f"`{' '.join(command)}` failed in a clone: {(done.stdout + done.stderr)[-800:]}")
        return done.stdout

    def repro(self) -> tuple[float, list[str]]:
        """Seconds of `dvc repro`, and the stages that ran."""
        start = time.perf_counter()
        said = self.run("dvc", "repro")
        return time.perf_counter() - start, re.findall(r"Running stage '([^']+)'", said)

    def receipts(self, stages: list[str]) -> list[dict]:
        """What these stages left when they ran last."""
        folder = self.folder / reports_of(PROFILE).receipts
        return [json.loads((folder / f"{file_name(name)}.json").read_text()) for name in stages]

    def starts(self, stages: list[str]) -> float:
        """Seconds that it takes to import these stages, each in a process of its own."""
        start = time.perf_counter()
        for name in stages:
            self.run("python", "-c", f"import stages.{file_name(name).partition('@')[0]}")
        return time.perf_counter() - start

    @contextmanager
    def changed(self, change: Callable[[dict], None]):
        """params.yaml with a change, for as long as the block lasts."""
        path = self.folder / "params.yaml"
        before = path.read_text()
        params = yaml.safe_load(before)
        change(params)
        path.write_text(yaml.safe_dump(params, sort_keys=False))
        yield
        path.write_text(before)

    def rerun(self, name: str, goal: float | None = None, most_stages: int | None = None, times: int = 1) -> Rerun:
        seconds, stages = zip(*(self.repro() for _ in range(times)), strict=True)
        ran = stages[0]
        receipts = self.receipts(ran)
        computed = sum(len(receipt["units"]["computed"]) for receipt in receipts)
        dvcs_own = seconds[0] - sum(receipt["seconds"] for receipt in receipts)
        median = statistics.median(seconds)
        return Rerun(name, median, times, goal, ran, most_stages, computed, dvcs_own, self.starts(ran))


def file_name(stage: str) -> str:
    """Of the receipt of a stage, which `dvc repro` names by its place in dvc.yaml."""
    return stage.rpartition(":")[2]


def measure_graph() -> list[Rerun]:
    """Each way in turn.

    Raises:
        ArtifactError: not every stage has run here.
    """
    Path(".dvc/tmp").mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=".dvc/tmp", prefix="bench-") as folder:
        clone = Clone(Path(folder).resolve() / "clone")
        if ran := clone.repro()[1]:
            raise ArtifactError(f"{', '.join(ran)} would run without a change: run `dvc repro`, commit, `make bench`")
        result = [clone.rerun("no change", goal=2.0, most_stages=0, times=TIMES)]
        with clone.changed(larger_font):
            result.append(clone.rerun("another font size", goal=20.0))
        clone.repro()
        with clone.changed(one_more_seed):
            result.append(clone.rerun("one more SAE of 2,048 latents", goal=60.0))
        result.append(clone.rerun("and without it again", most_stages=0))
        clone.run("python", "-m", "darkmatter.cli", "params", "--profile", OTHER)
        clone.repro()
        clone.run("python", "-m", "darkmatter.cli", "params", "--profile", PROFILE)
        result.append(clone.rerun(f"back from the profile {OTHER}", most_stages=0))
    return result


def larger_font(params: dict) -> None:
    params["figures"]["font_size"] += 1


def one_more_seed(params: dict) -> None:
    seeds = params["saes"]["groups"]["seeds"]["seeds"]
    seeds.append(max(seeds) + 1)
