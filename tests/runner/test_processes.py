"""A stage ends with the command that started it, also when that is killed while the stage imports its libraries."""

import subprocess
import sys
import time
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
STAGE = """
import os, pathlib, time
import stages
begun = os.getppid()
print(os.getpid(), flush=True)
while os.getppid() == begun:  # as long as imports may take
    time.sleep(0.01)
from darkmatter.runner.processes import die_with_parent
pathlib.Path("reached").touch()
die_with_parent()
pathlib.Path("wrote").touch()
"""
PARENT = "import subprocess, sys; subprocess.run([sys.executable, '-c', sys.argv[1]])"


def test_a_stage_whose_parent_died_during_its_imports_writes_nothing(tmp_path, monkeypatch):
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    parent = subprocess.Popen([sys.executable, "-c", PARENT, STAGE], cwd=tmp_path, stdout=subprocess.PIPE, text=True)
    stage = int(parent.stdout.readline())
    parent.kill()
    parent.wait()
    end = time.monotonic() + 60
    while Path(f"/proc/{stage}").exists() and time.monotonic() < end:
        time.sleep(0.05)
    assert (tmp_path / "reached").exists()
    assert not (tmp_path / "wrote").exists()


@pytest.mark.parametrize("started_by", [None, "again"])
def test_a_stage_with_its_parent_goes_on(tmp_path, monkeypatch, started_by):
    """Under DVC, and where an outer process has imported `stages`, too."""
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    monkeypatch.setenv("DARKMATTER_STARTED_BY", "1") if started_by else monkeypatch.delenv("DARKMATTER_STARTED_BY")
    code = "import stages; from darkmatter.runner.processes import die_with_parent; die_with_parent(); print('on')"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.stdout == "on\n"
