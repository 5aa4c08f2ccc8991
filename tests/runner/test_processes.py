"""A stage ends with the command that started it, also when that is killed before the stage has imported anything."""

import subprocess
import sys
import time
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
STAGE = """
import os, pathlib, sys, time
if sys.argv[1] == "importing":
    import stages
print(os.getpid(), flush=True)
while not pathlib.Path("killed").exists():  # as long as imports may take
    time.sleep(0.01)
import stages
from darkmatter.runner import lock_keeper
from darkmatter.runner.processes import die_with_parent
lock_keeper.watch()
pathlib.Path("reached").touch()
die_with_parent()
pathlib.Path("wrote").touch()
"""
DIRECT = "import subprocess, sys; subprocess.run([sys.executable, *sys.argv[1:]])"
# A shell that stays between DVC and the stage.
THROUGH_SHELL = """
import subprocess, sys
subprocess.run(["/bin/sh", "-c", '"$0" "$@"; true', sys.executable, *sys.argv[1:]])
"""


@pytest.mark.parametrize("parent", [DIRECT, THROUGH_SHELL])
@pytest.mark.parametrize("moment", ["starting", "importing"])
def test_a_stage_whose_dvc_has_died_writes_nothing_and_leaves_nothing(tmp_path, monkeypatch, parent, moment):
    """What has adopted it, or the shell, never ends."""
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    monkeypatch.setenv("DVC_STAGE", "tokens")
    keepers = tmp_path / ".dvc/tmp"
    keepers.mkdir(parents=True)
    command = [sys.executable, "-c", parent, "-c", STAGE, moment]
    dvc = subprocess.Popen(command, cwd=tmp_path, stdout=subprocess.PIPE, text=True, start_new_session=True)
    stage = int(dvc.stdout.readline())
    dvc.kill()
    dvc.wait()
    (tmp_path / "killed").touch()
    end = time.monotonic() + 60
    while Path(f"/proc/{stage}").exists() and time.monotonic() < end:
        time.sleep(0.05)
    assert (tmp_path / "reached").exists() and not (tmp_path / "wrote").exists()
    assert list(keepers.iterdir()) == []


@pytest.mark.parametrize("started_by", [None, "again"])
def test_a_stage_with_its_parent_goes_on(tmp_path, monkeypatch, started_by):
    """Under DVC, and where an outer process has imported `stages`, too."""
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    monkeypatch.setenv("DARKMATTER_STARTED_BY", "1") if started_by else monkeypatch.delenv("DARKMATTER_STARTED_BY")
    code = "import stages; from darkmatter.runner.processes import die_with_parent; die_with_parent(); print('on')"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.stdout == "on\n"
