"""Build the wheel of HEAD, and use it with the oldest and the newest versions that pyproject.toml allows.

    uv, Python 3.11 and Python 3.13 must be on PATH; then:  python requirements/check_wheel.py

It downloads torch twice (with CUDA libraries, several GB each, where the index has no CPU build) and needs 12 GB.
"""

import os
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
PROGRAM = ROOT / "tests" / "support" / "use_wheel.py"
ENVIRONMENTS = {"lowest-direct": "3.11", "highest": "3.13"}  # how uv resolves, on which Python


def check(resolution: str, python: str, wheel: Path, folder: Path) -> None:
    """Raises CalledProcessError: the wheel does not install, or does not work there."""
    environment, versions = folder / "environment", folder / "versions.txt"
    compile_versions = ["uv", "pip", "compile", "--quiet", "--resolution", resolution, "--python-version", python]
    subprocess.run([*compile_versions, "--output-file", versions, ROOT / "pyproject.toml"], check=True)
    new = ["uv", "venv", "--quiet", "--no-python-downloads", "--python", python, environment]
    subprocess.run(new, check=True)
    own = environment / "bin" / "python"
    subprocess.run(["uv", "pip", "install", "--quiet", "--python", own, "-r", versions, wheel], check=True)
    print(f"== {resolution}, Python {python}", flush=True)
    subprocess.run(["uv", "pip", "list", "--quiet", "--python", own], check=True)
    clean = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    subprocess.run([own, PROGRAM], cwd=folder, env=clean, check=True)


def main() -> None:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        source = folder / "source"  # a build leaves files in its folder
        subprocess.run(["git", "clone", "--quiet", ROOT, source], check=True)
        build = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--wheel-dir", folder]
        subprocess.run([*build, source], check=True)
        (wheel,) = folder.glob("*.whl")
        for resolution, python in ENVIRONMENTS.items():
            (folder / resolution).mkdir()
            check(resolution, python, wheel, folder / resolution)


if __name__ == "__main__":
    main()
