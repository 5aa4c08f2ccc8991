"""`pip install` of the wheel brings what `decompose` needs, in loose bounds; the pipeline's pins are an extra."""

import importlib.metadata
import os
import re
import shutil
import subprocess
import sys
import zipfile
from email.parser import BytesParser
from pathlib import Path

import pytest
from packaging.requirements import Requirement

from darkmatter.cli import main

ROOT = Path(__file__).parents[2]
# Packages that are here and that the wheel does not ask for are as if they were not: sitecustomize is imported
# when Python starts, in child processes, too.
HIDE = """
import importlib.machinery, sys

HIDDEN = frozenset({hidden!r})

class Finder(importlib.machinery.PathFinder):
    @classmethod
    def find_spec(cls, name, path=None, target=None):
        return None if name.split(".")[0] in HIDDEN else super().find_spec(name, path, target)

sys.meta_path[:] = [Finder if one is importlib.machinery.PathFinder else one for one in sys.meta_path]
"""


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel of a copy: a build leaves files in its folder."""
    source, out = tmp_path_factory.mktemp("source"), tmp_path_factory.mktemp("wheel")
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, source)
    shutil.copytree(ROOT / "darkmatter", source / "darkmatter", ignore=shutil.ignore_patterns("__pycache__"))
    command = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--no-build-isolation", "--no-index"]
    subprocess.run([*command, "--wheel-dir", out, source], check=True, capture_output=True)
    (result,) = out.glob("*.whl")
    return result


def requirements(wheel: Path) -> list[Requirement]:
    with zipfile.ZipFile(wheel) as files:
        (name,) = [name for name in files.namelist() if name.endswith(".dist-info/METADATA")]
        metadata = BytesParser().parsebytes(files.read(name))
    return [Requirement(text) for text in metadata.get_all("Requires-Dist")]


def canonical(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def brought(needs: list[Requirement]) -> set[str]:
    """The distributions that these bring, as far as they are installed here."""
    todo, result = [need.name for need in needs if need.marker is None], set()
    while todo:
        name = canonical(todo.pop())
        if name in result:
            continue
        try:
            requires = importlib.metadata.requires(name) or []
        except importlib.metadata.PackageNotFoundError:
            continue
        result.add(name)
        own = [Requirement(text) for text in requires]
        todo += [need.name for need in own if need.marker is None or need.marker.evaluate({"extra": ""})]
    return result


def test_the_wheel_brings_loose_bounds_and_the_pins_are_an_extra(wheel):
    needs = requirements(wheel)
    base = [need for need in needs if need.marker is None]
    assert {"torch", "numpy", "scipy"} <= {need.name for need in base}
    assert all([one.operator for one in need.specifier] == [">="] for need in base)
    assert not {"dvc", "transformers", "sae-lens", "matplotlib"} & {need.name for need in base}
    pinned = {need.name: str(need.specifier) for need in needs if need.marker and "==" in str(need.specifier)}
    locked = "".join((ROOT / "requirements" / name).read_text() for name in ("base.lock", "torch-pypi.lock"))
    assert {"dvc", "torch", "transformers", "sae-lens"} <= pinned.keys()
    assert all(f"\n{name}{pin} " in locked for name, pin in pinned.items())


def test_decompose_needs_nothing_else(wheel, tmp_path):
    kept = brought(requirements(wheel))
    owners = importlib.metadata.packages_distributions()
    hidden = sorted(name for name, of in owners.items() if not kept & set(map(canonical, of)) and name != "darkmatter")
    assert {"dvc", "transformers", "sae_lens", "matplotlib", "psutil"} <= set(hidden)
    with zipfile.ZipFile(wheel) as files:
        files.extractall(tmp_path / "installed")
    (tmp_path / "installed" / "sitecustomize.py").write_text(HIDE.format(hidden=hidden))
    (tmp_path / "work").mkdir()
    program = shutil.copy(ROOT / "tests" / "support" / "use_wheel.py", tmp_path / "work")
    environment = os.environ | {"PYTHONPATH": str(tmp_path / "installed")}
    done = subprocess.run(
        [sys.executable, program], cwd=tmp_path / "work", env=environment, capture_output=True, text=True
    )
    assert done.returncode == 0 and done.stdout.startswith("FVU 0."), done.stderr
    command = "import darkmatter.cli, sys; print(darkmatter.cli.__file__); darkmatter.cli.main(['audit', 'verify'])"
    done = subprocess.run(
        [sys.executable, "-c", command], cwd=tmp_path / "work", env=environment, capture_output=True, text=True
    )
    assert done.stdout.startswith(str(tmp_path / "installed")) and done.returncode == 1
    assert re.fullmatch(r"error: \w+ is not installed, .* Run `pip install 'darkmatter\[pipeline\]'`\.\n", done.stderr)


@pytest.mark.parametrize(
    ("missing", "extra"), [("transformers", "models"), ("sae_lens.saes", "saes"), ("dvc", "pipeline")]
)
def test_a_command_names_the_extra_that_brings_what_it_misses(monkeypatch, missing, extra):
    def run(*given):
        raise ModuleNotFoundError(f"No module named {missing!r}", name=missing)

    monkeypatch.setattr("darkmatter.cli.run_summary", run)
    with pytest.raises(SystemExit, match=rf"darkmatter\[{extra}\]"):
        main(["summary"])


def test_a_module_of_our_own_that_is_missing_is_no_package_to_install(monkeypatch):
    def run(*given):
        raise ModuleNotFoundError("No module named 'darkmatter.nothing'", name="darkmatter.nothing")

    monkeypatch.setattr("darkmatter.cli.run_summary", run)
    with pytest.raises(ModuleNotFoundError, match=r"darkmatter\.nothing"):
        main(["summary"])
