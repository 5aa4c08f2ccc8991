"""A copy of this repository in which a test may run the whole DAG on a tiny profile."""

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import yaml

ROOT = Path(__file__).parent.parent
BIN = Path(sys.executable).parent


class Workspace:
    """A clone with its own cache. Commands run in it as a user would type them."""

    def __init__(self, folder: Path, profile: str = "smoke") -> None:
        self.folder = folder
        tracked = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
        for name in tracked.splitlines():
            if not name.startswith(("reports/", "tests/")) and name != "dvc.lock" and (ROOT / name).is_file():
                (folder / name).parent.mkdir(parents=True, exist_ok=True)
                shutil.copy2(ROOT / name, folder / name)
        self.run("git", "init", "-q")
        self.compose(profile)

    def environment(self, **extra: str) -> dict[str, str]:
        site = str(self.folder / ".dvc" / "tmp" / "site")
        path = f"{BIN}{os.pathsep}{os.environ['PATH']}"
        workers = {"DARKMATTER_WORKERS": "1"}  # starting processes costs more than a tiny unit
        own = {"PATH": path, "PYTHONPATH": str(self.folder), "DVC_SITE_CACHE_DIR": site}
        return {**os.environ, **workers, **own, **extra}

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
        return re.findall(r"Running stage '([^']+)'", self.run("dvc", "repro", *arguments, **extra))

    def change(self, path: str, value: object) -> None:
        """Set one parameter, such as `figures.font_size`."""
        params = yaml.safe_load((self.folder / "params.yaml").read_text())
        *sections, key = path.split(".")
        section = params
        for name in sections:
            section = section[name]
        section[key] = value
        (self.folder / "params.yaml").write_text(yaml.safe_dump(params, sort_keys=False))

    def receipt(self, stage: str) -> dict:
        return json.loads((self.folder / "reports" / "receipts" / f"{stage}.json").read_text())

    def artifacts(self) -> dict[str, bytes]:
        """Every artifact that promises the same bytes: all but receipts, the report, and stored units."""
        folders = [path for path in (self.folder / "data").iterdir() if not path.name.startswith(".")]
        folders += [self.folder / "reports" / name for name in ("results", "figures")]
        files = [file for folder in folders for file in folder.rglob("*") if file.is_file()]
        return {file.relative_to(self.folder).as_posix(): file.read_bytes() for file in sorted(files)}
