"""Rewrite the lock files from pyproject.toml: every version pinned, every file hashed, for Python 3.11-3.13.

    uv must be on PATH; then:  python requirements/lock.py [--upgrade]

Pins stay what they are as long as pyproject.toml allows them, so that a new requirement adds its packages and changes
nothing else; `--upgrade` takes the newest of each.

torch is kept apart from the rest because it exists twice: a small CPU build (on PyTorch's own index, or in
a local folder named by PIP_FIND_LINKS), and PyPI's Linux build, which brings several GB of CUDA libraries.
`make` tries `torch-cpu.lock` and falls back to `torch-pypi.lock`.
"""

import re
import subprocess
import sys
import tempfile
from pathlib import Path

HERE = Path(__file__).parent
TORCH_STACK = re.compile(r"^(torch|triton|nvidia-[\w-]+|cuda-[\w-]+)==")
HEADER = "# Written by requirements/lock.py from pyproject.toml. Do not edit.\n"
CPU_WHEELS = {"3.11": "6746dbcbeb526eb61330b76b41ff1b4eb848951103a892eeb080dfa2b264667b"}


def compile_lock(extra: list[str]) -> list[str]:
    """Resolve pyproject.toml for every platform; one string per pinned requirement, hashes included."""
    command = ["uv", "pip", "compile", "pyproject.toml", "--universal", "--generate-hashes"]
    command += ["--python-version", "3.11", "--no-annotate", "--no-header", "--quiet", *extra]
    with tempfile.TemporaryDirectory() as folder:
        known = Path(folder) / "known.txt"  # uv keeps what its output file pins
        known.write_text("".join((HERE / f"{name}.lock").read_text() for name in ("base", "torch-pypi")))
        subprocess.run([*command, "--output-file", known], cwd=HERE.parent, check=True)
        return re.split(r"\n(?=[a-z0-9])", known.read_text().strip())


def main() -> None:
    pins = compile_lock(["--extra", "pipeline", "--extra", "dev", *sys.argv[1:]])
    torch = [pin for pin in pins if TORCH_STACK.match(pin)]
    base = [pin for pin in pins if pin not in torch]
    build = [pin for pin in pins if pin.startswith(("setuptools==", "wheel==", "packaging=="))]
    version = next(re.match(r"torch==(\S+)", pin)[1] for pin in torch if pin.startswith("torch=="))
    cpu = [
        f'torch=={version}+cpu ; python_version == "{python}" and platform_machine == "x86_64" --hash=sha256:{sha256}'
        for python, sha256 in CPU_WHEELS.items()
    ]
    for name, lines in {"build": build, "base": base, "torch-pypi": torch, "torch-cpu": cpu}.items():
        (HERE / f"{name}.lock").write_text(HEADER + "\n".join(lines) + "\n")


if __name__ == "__main__":
    main()
