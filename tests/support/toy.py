"""A small DVC repository with the shape of this one: a folder that DVC keeps, results that git keeps, receipts."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

from darkmatter.storage.artifacts import sha256_path, write_json
from darkmatter.storage.replacing import walk_files

MAKE = """from pathlib import Path
folder = Path("data/numbers")
folder.mkdir(parents=True, exist_ok=True)
for name in "abc":
    (folder / f"{name}.txt").write_text(f"{ord(name) * 1000}\\n")
"""
USE = """import json
from pathlib import Path
Path("reports/toy/results").mkdir(parents=True, exist_ok=True)
value = int(Path("data/numbers/a.txt").read_text()) / 7
Path("reports/toy/results/use.json").write_text(json.dumps({"value": value, "n": 1}) + "\\n")
"""
PIPELINE = """stages:
  make:
    cmd: python make.py
    params: [size]
    deps: [make.py]
    outs: [data/numbers]
  use:
    cmd: python use.py
    deps: [use.py, data/numbers/a.txt]
    plots:
      - reports/toy/results/use.json:
          cache: false
"""
STAGES = {"make": ([], ["data/numbers"]), "use": (["data/numbers/a.txt"], ["reports/toy/results/use.json"])}


def build(folder: Path) -> Path:
    """Run both stages once, write their receipts, and commit."""
    files = {
        "make.py": MAKE,
        "use.py": USE,
        "dvc.yaml": PIPELINE,
        "params.yaml": "profile: toy\nsize: 3\n",
        ".gitignore": "/data/\n",
    }
    files |= {".dvc/config": "[core]\n    analytics = false\n", ".dvc/.gitignore": "/config.local\n/tmp\n/cache\n"}
    (folder / ".dvc").mkdir()
    for name, text in files.items():
        (folder / name).write_text(text)
    git(folder, "init", "-q")
    dvc(folder, "repro", "-q")
    receipts(folder)
    commit(folder)
    return folder


def receipts(folder: Path, *stages: str) -> None:
    """Write those of these stages, or of all."""
    for stage in stages or STAGES:
        inputs, outputs = STAGES[stage]
        kept = [file.relative_to(folder).as_posix() for file in walk_files(folder / "data") if stage == "make"]
        hashes = lambda paths: {path: sha256_path(folder / path) for path in paths}  # noqa: E731
        content = {"stage": stage, "profile": "toy", "revision": "0" * 40, "started": "2026-01-01T00:00:00Z"}
        content["params"] = {"size": 3} if stage == "make" else {}
        content |= {"code": hashes([f"{stage}.py"]), "inputs": hashes(inputs), "outputs": hashes(outputs)}
        content["files"] = hashes(kept)
        write_json(folder / "reports" / "toy" / "receipts" / f"{stage}.json", content)


def git(folder: Path, *words: str) -> bytes:
    """Standard output."""
    who = ("-c", "user.name=test", "-c", "user.email=test@localhost")
    return subprocess.run(["git", *who, *words], cwd=folder, check=True, capture_output=True).stdout


def commit(folder: Path) -> None:
    git(folder, "add", "--all")
    git(folder, "commit", "-q", "-m", "as it is")


def dvc(folder: Path, *words: str) -> None:
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    environment = {**os.environ, "PATH": path, "DVC_SITE_CACHE_DIR": str(folder / ".dvc" / "tmp" / "site")}
    subprocess.run(["dvc", *words], cwd=folder, env=environment, check=True, capture_output=True)


def copy(folder: Path, to: Path) -> Path:
    return shutil.copytree(folder, to, symlinks=True)


def flip(path: Path) -> None:
    """One bit of a file changes; size, mode and times are as before."""
    stat = path.stat()
    content = bytearray(path.read_bytes())
    content[0] ^= 1
    path.chmod(0o644)
    path.write_bytes(content)
    path.chmod(stat.st_mode)
    os.utime(path, ns=(stat.st_atime_ns, stat.st_mtime_ns))


def edit(path: Path, **values: object) -> None:
    path.write_text(json.dumps(json.loads(path.read_text()) | values))
