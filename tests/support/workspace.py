"""A copy of this repository in which a test may run the whole DAG on a tiny profile."""

import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from filelock import FileLock
from shown_runs import copy_shown_runs

from darkmatter.runner.pipeline_file import profile_here
from darkmatter.storage.paths import ReportFolder, reports_of

ROOT = Path(__file__).parents[2]
BIN = Path(sys.executable).parent
ONE_PROCESS = Path(__file__).parent / "one_process.py"
FIRST_ARTIFACTS = "first-run.json"
IGNORED = "/reports/smoke*/\n"


class Workspace:
    """A clone with its own cache. Commands run in it as a user would type them."""

    def __init__(self, folder: Path, profile: str = "smoke") -> None:
        self.folder = folder
        tracked = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
        for name in tracked.splitlines():
            given = name.startswith("reports/compared/")  # of reports/, what no stage writes
            made = (name.startswith("reports/") and not given) or name == "dvc.lock"
            if not made and not name.startswith("tests/") and (ROOT / name).is_file():
                (folder / name).parent.mkdir(parents=True, exist_ok=True)
                shutil.copy2(ROOT / name, folder / name)
        copy_shown_runs(folder)
        ignored = (folder / ".gitignore").read_text().replace(IGNORED, "")  # tests commit what nobody else should
        (folder / ".gitignore").write_text(ignored)
        self.run("git", "init", "-q")
        self.compose(profile)

    def environment(self, **extra: str) -> dict[str, str]:
        site = str(self.folder / ".dvc" / "tmp" / "site")
        path = f"{BIN}{os.pathsep}{os.environ['PATH']}"
        workers = {"DARKMATTER_WORKERS": "1"}  # starting processes costs more than a tiny unit
        own = {"PATH": path, "PYTHONPATH": str(self.folder), "DVC_SITE_CACHE_DIR": site}
        users = {
            name: value for name, value in os.environ.items() if not name.endswith("_NUM_THREADS")
        }  # a stage sets it
        return {**users, **workers, **own, **extra}

    def run(self, *command: str, check: bool = True, **extra: str) -> str:
        done = subprocess.run(
            command, cwd=self.folder, env=self.environment(**extra), capture_output=True, text=True, check=False
        )
        assert not check or done.returncode == 0, done.stdout + done.stderr
        return done.stdout + done.stderr

    def compose(self, profile: str) -> None:
        self.run("python", "-m", "darkmatter.cli", "params", "--profile", profile)

    def repro(self, *arguments: str, **extra: str) -> list[str]:
        """`dvc repro`; returns the stages that ran."""
        return ran(self.run("dvc", "repro", *arguments, **extra))

    def repro_in_one_process(self, *arguments: str, **extra: str) -> list[str]:
        """The same without a process for each stage, which takes most of the time of a run so small."""
        return ran(self.run("python", str(ONE_PROCESS), "repro", *arguments, **extra))

    def audit(self, *words: str) -> str:
        """What `darkmatter audit` prints, once it has found nothing wrong."""
        command = ("python", "-m", "darkmatter.cli", "audit", *words)
        done = subprocess.run(
            command, cwd=self.folder, env=self.environment(), capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    def commit(self, message: str) -> None:
        self.run("git", "add", "--all")
        self.run("git", "-c", "user.name=test", "-c", "user.email=test@localhost", "commit", "-q", "-m", message)

    def clone(self, folder: Path) -> "Workspace":
        """A git clone: code and reports, no data."""
        self.run("git", "clone", "-q", str(self.folder), str(folder))
        clone = Workspace.__new__(Workspace)
        clone.folder = folder
        return clone

    def change(self, path: str, value: object) -> None:
        """Set one parameter, such as `figures.font_size`."""
        params = yaml.safe_load((self.folder / "params.yaml").read_text())
        *sections, key = path.split(".")
        section = params
        for name in sections:
            section = section[name]
        section[key] = value
        (self.folder / "params.yaml").write_text(yaml.safe_dump(params, sort_keys=False))

    @property
    def reports(self) -> ReportFolder:
        """Of the profile of params.yaml."""
        return ReportFolder(self.folder / reports_of(profile_here(self.folder)).path)

    def receipt(self, stage: str) -> dict:
        return json.loads((self.reports.receipts / f"{stage}.json").read_text())

    def artifacts(self) -> dict[str, str]:
        """SHA-256 of every artifact that promises the same bytes: all but receipts, the report, and stored units."""
        folders = [path for path in (self.folder / "data").iterdir() if not path.name.startswith(".")]
        folders += [self.reports.results, self.reports.figures]
        files = [file for folder in folders for file in folder.rglob("*") if file.is_file()]
        return {
            file.relative_to(self.folder).as_posix(): hashlib.sha256(file.read_bytes()).hexdigest()
            for file in sorted(files)
        }


def ran(output: str) -> list[str]:
    """The stages that `dvc repro` says it runs."""
    return re.findall(r"Running stage '([^']+)'", output)


def shared_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder that all workers of this test run see."""
    base = tmp_path_factory.getbasetemp()
    return base.parent if "PYTEST_XDIST_WORKER" in os.environ else base


def first_run(folder: Path, shared: Path) -> Workspace:
    """A workspace whose whole DAG has run once (`ran`: its stages); its artifacts' hashes are left in `shared`."""
    workspace = Workspace(folder)
    workspace.ran = workspace.repro()
    (shared / FIRST_ARTIFACTS).write_text(json.dumps(workspace.artifacts()))
    return workspace


def first_artifacts(folder: Path, shared: Path) -> dict[str, str]:
    """The artifacts of the first run, of another worker where there is one."""
    with FileLock(shared / "first-run.lock"):
        if not (shared / FIRST_ARTIFACTS).exists():
            first_run(folder, shared)
    return json.loads((shared / FIRST_ARTIFACTS).read_text())
