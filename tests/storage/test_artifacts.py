"""Artifacts: whole or not at all, the same bytes for the same content, bad files refused."""

import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from darkmatter.storage.artifacts import (
    ArtifactError,
    open_array,
    read_arrays,
    sha256_path,
    to_json,
    write_arrays,
)

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
