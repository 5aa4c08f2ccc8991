"""`make lint` fails when a check does, but for one exit code of `audit verify`: what a shallow clone cannot have."""

import shutil
import subprocess
from pathlib import Path

import pytest
import toy

MAKEFILE = Path(__file__).parents[2] / "Makefile"


def lint(root: Path, verify: int = 0, **ends: int) -> int:
    """The exit code of `make lint` where `audit verify` ends with this one, other checks with 0 or what is given."""
    shutil.copy(MAKEFILE, root)
    tools = root / ".venv" / "bin"
    tools.mkdir(parents=True, exist_ok=True)
    for name, code in ({"ruff": 0, "mypy": 0, "dvc": 0, "python": verify} | ends).items():
        (tools / name).write_text(f"#!/bin/sh\nexit {code}\n")
        (tools / name).chmod(0o755)
    return subprocess.run(["make", "lint", "-o", ".venv/installed"], cwd=root, capture_output=True).returncode


@pytest.fixture
def whole(tmp_path: Path) -> Path:
    (tmp_path / "whole").mkdir()
    (tmp_path / "whole" / "file").write_text("")
    toy.git(tmp_path / "whole", "init", "-q")
    toy.commit(tmp_path / "whole")
    return tmp_path / "whole"


@pytest.mark.parametrize("check", ["ruff", "mypy", "dvc"])
def test_a_check_that_fails_fails_it(whole: Path, check: str) -> None:
    assert lint(whole) == 0
    assert lint(whole, **{check: 1}) == 2


def test_what_is_missing_fails_but_in_a_shallow_clone(whole: Path, tmp_path: Path) -> None:
    toy.git(whole, "commit", "-q", "--allow-empty", "-m", "another")
    toy.git(tmp_path, "clone", "-q", "--depth", "1", f"file://{whole}", "shallow")
    assert [lint(whole, code) for code in (0, 3, 6, 7)] == [0, 2, 2, 2]
    assert [lint(tmp_path / "shallow", code) for code in (0, 3, 6, 7)] == [0, 2, 2, 0]
