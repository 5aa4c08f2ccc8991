"""Artifacts: whole or not at all, the same bytes for the same content, bad files refused."""

import errno
import fcntl
import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from darkmatter.storage.artifacts import (
    ArtifactError,
    open_array,
    read_arrays,
    read_json,
    remove_folder,
    removing_folder,
    replacing,
    replacing_folder,
    sha256_path,
    to_json,
    write_arrays,
    write_json,
)

ROOT = Path(__file__).parents[2]
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
)


@given(JSON)
def test_json_round_trips(content):
    assert json.loads(to_json(content)) == content


def test_json_is_sorted_and_refuses_nan():
    assert to_json({"b": 1, "a": np.float64(0.1)}) == to_json({"a": 0.1, "b": np.int64(1)})
    with pytest.raises(ArtifactError, match="NaN or infinite"):
        to_json({"r2": float("nan")})


def test_failed_write_leaves_the_old_file_and_no_rubbish(tmp_path):
    write_json(tmp_path / "a.json", 1)
    with pytest.raises(ZeroDivisionError), replacing(tmp_path / "a.json") as temporary:
        temporary.write_text("half")
        raise ZeroDivisionError
    assert read_json(tmp_path / "a.json") == 1
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
from darkmatter.storage.artifacts import {function}
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


def test_arrays_have_deterministic_bytes_and_no_pickle(tmp_path):
    arrays = {"b/c": np.arange(3.0), "a": np.arange(4)}
    write_arrays(tmp_path / "1.npz", arrays)
    write_arrays(tmp_path / "2.npz", dict(reversed(arrays.items())))
    assert (tmp_path / "1.npz").read_bytes() == (tmp_path / "2.npz").read_bytes()
    assert read_arrays(tmp_path / "1.npz")["b/c"].tolist() == [0, 1, 2]
    with pytest.raises(ArtifactError, match="pickle"):
        write_arrays(tmp_path / "3.npz", {"a": np.array([{}])})


@pytest.mark.parametrize("damage", [lambda b: b[:-40], lambda b: b"", lambda b: b"\x80\x04K\x01."])
def test_damaged_files_are_refused(tmp_path, damage):
    write_arrays(tmp_path / "a.npz", {"a": np.arange(100)})
    (tmp_path / "a.npz").write_bytes(damage((tmp_path / "a.npz").read_bytes()))
    with pytest.raises(ArtifactError, match="damaged"):
        read_arrays(tmp_path / "a.npz")
    np.save(tmp_path / "a.npy", np.arange(100))
    (tmp_path / "a.npy").write_bytes(damage((tmp_path / "a.npy").read_bytes()))
    with pytest.raises(ArtifactError, match="damaged"):
        open_array(tmp_path / "a.npy", (None,), "int64")


def test_wrong_shape_or_dtype_is_refused(tmp_path):
    np.save(tmp_path / "a.npy", np.zeros((2, 3), np.float32))
    assert open_array(tmp_path / "a.npy", (None, 3)).shape == (2, 3)
    for shape, dtype in (((None, 4), "float32"), ((None,), "float32"), ((None, 3), "float64")):
        with pytest.raises(ArtifactError, match="expected"):
            open_array(tmp_path / "a.npy", shape, dtype)


def test_folder_hash_sees_content_and_names(tmp_path):
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "x").write_text("1")
    before = sha256_path(tmp_path / "a")
    (tmp_path / "a" / "x").write_text("2")
    changed = sha256_path(tmp_path / "a")
    (tmp_path / "a" / "x").rename(tmp_path / "a" / "y")
    assert len({before, changed, sha256_path(tmp_path / "a")}) == 3
