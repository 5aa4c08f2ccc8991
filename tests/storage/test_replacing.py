"""Files and folders that are written whole or not at all, and what a killed process leaves of them."""

import errno
import fcntl
import os
import subprocess
import sys
from pathlib import Path

import pytest

from darkmatter.storage.replacing import remove_folder, remove_left, removing_folder, replacing, replacing_folder

ROOT = Path(__file__).resolve().parents[2]


def test_failed_write_leaves_the_old_file_and_no_rubbish(tmp_path):
    (tmp_path / "a.json").write_text("whole")
    with pytest.raises(ZeroDivisionError), replacing(tmp_path / "a.json") as temporary:
        temporary.write_text("half")
        raise ZeroDivisionError
    assert (tmp_path / "a.json").read_text() == "whole"
    assert [path.name for path in tmp_path.iterdir()] == ["a.json"]


def test_failed_folder_leaves_the_old_one(tmp_path):
    for attempt in (1, 2):
        try:
            with replacing_folder(tmp_path / "out") as folder:
                (folder / f"{attempt}.txt").write_text("x")
                if attempt == 2:
                    raise ZeroDivisionError
        except ZeroDivisionError:
            pass
    assert [path.name for path in tmp_path.rglob("*.txt")] == ["1.txt"]
    assert [path.name for path in tmp_path.iterdir()] == ["out"]


KILLED = """
import os, pathlib, signal
from darkmatter.storage.replacing import {function}
with {function}(pathlib.Path("out [1].json")) as begun:
    (begun / "part" if begun.is_dir() else begun).write_text("half")
    os.kill(os.getpid(), signal.SIGKILL)
"""


@pytest.mark.parametrize("function", [replacing, replacing_folder])
def test_what_a_killed_process_had_begun_goes_when_the_same_is_written(tmp_path, function):
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    code = KILLED.format(function=function.__name__)
    subprocess.run([sys.executable, "-c", code], cwd=tmp_path, env=environment, check=False)
    other = tmp_path / ".out [1].json.original"
    other.touch()
    assert len(list(tmp_path.iterdir())) == 2
    with function(tmp_path / "out [1].json") as begun, function(tmp_path / "out [1].json"):
        assert begun.exists()  # which is at work
    assert sorted(tmp_path.iterdir()) == [other, tmp_path / "out [1].json"]


def test_a_folder_that_could_not_be_replaced_is_there_again(tmp_path):
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "old").touch()
    with pytest.raises(ZeroDivisionError), removing_folder(tmp_path / "out"):
        assert not (tmp_path / "out").exists()
        raise ZeroDivisionError
    assert [path.name for path in tmp_path.rglob("*")] == ["out", "old"]


def test_a_folder_on_its_way_out_is_nobody_elses_to_remove(tmp_path):
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "old").touch()
    with removing_folder(tmp_path / "out"):
        remove_left(tmp_path / "out")
        assert [path.name for path in tmp_path.rglob("old")] == ["old"]
    assert list(tmp_path.iterdir()) == []


def test_what_a_killed_removal_has_left_goes_with_the_next(tmp_path):
    left = tmp_path / ".out.part-abcd1234"
    left.mkdir()
    remove_folder(tmp_path / "out")
    assert not left.exists()


def test_a_folder_that_may_not_be_renamed_is_removed(tmp_path, monkeypatch):
    def refuse(*_):
        raise OSError(errno.EXDEV, "Invalid cross-device link")

    (tmp_path / "out").mkdir()
    monkeypatch.setattr(Path, "replace", refuse)
    remove_folder(tmp_path / "out")
    assert list(tmp_path.iterdir()) == []


def test_what_another_process_writes_stays_where_marks_do_not_work(tmp_path, monkeypatch):
    def refuse(*_):
        raise OSError("no locks here")

    monkeypatch.setattr(fcntl, "flock", refuse)
    with replacing(tmp_path / "a"), replacing(tmp_path / "a"):
        pass
    assert (tmp_path / "a").is_file()


@pytest.mark.parametrize("function", [replacing, replacing_folder])
def test_an_error_of_the_disk_comes_out_as_it_is(tmp_path, function):
    with pytest.raises(OSError, match="disk is full"), function(tmp_path / "a"):
        raise OSError("disk is full")
    assert list(tmp_path.iterdir()) == []
