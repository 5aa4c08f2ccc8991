"""Shards read as if they were joined: held against the joined array, in both number types."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from darkmatter.models.activation_files import narrowed, open_activations, rows_of, spacing, widened
from darkmatter.models.shards import Shards
from darkmatter.storage.artifacts import ArtifactError

POSITIONS, D_MODEL = 3, 2


@st.composite
def cut(draw):
    lengths = draw(st.lists(st.integers(1, 4), min_size=1, max_size=5))
    whole = np.arange(sum(lengths) * POSITIONS * D_MODEL, dtype=np.float32).reshape(-1, POSITIONS, D_MODEL)
    return whole, np.split(whole, np.cumsum(lengths)[:-1])


@given(cut(), st.data())
def test_reads_like_the_joined_array(case, data):
    whole, parts = case
    shards = Shards(parts)
    assert shards.shape == whole.shape and len(shards) == len(whole) and shards.ndim == 3
    assert np.array_equal(np.array(shards), whole) and np.array_equal(np.stack(list(shards)), whole)
    bound = st.integers(-len(whole) - 1, len(whole) + 1) | st.none()
    chosen = slice(data.draw(bound), data.draw(bound))
    assert np.array_equal(np.asarray(shards[chosen]), whole[chosen])
    number = data.draw(st.integers(-len(whole), len(whole) - 1))
    assert np.array_equal(shards[number], whole[number])
    rows, flat = rows_of(shards), whole.reshape(-1, D_MODEL)
    index = np.array(data.draw(st.lists(st.integers(-len(flat), len(flat) - 1), max_size=9)), dtype=np.int64)
    assert np.array_equal(rows[index], flat[index])
    mask = np.array(data.draw(st.lists(st.booleans(), min_size=len(flat), max_size=len(flat))))
    assert np.array_equal(rows[mask], flat[mask])
    assert np.array_equal(np.asarray(rows[chosen]), flat[chosen])


def test_beyond_the_end_is_an_error():
    shards = Shards([np.zeros((2, 3)), np.zeros((1, 3))])
    with pytest.raises(IndexError):
        shards[3]
    with pytest.raises(ValueError, match="without a step"):
        shards[::2]
    with pytest.raises(ValueError, match="not of 1"):
        shards.reshape(1, 9)


@pytest.mark.parametrize("store", [lambda values: values, narrowed], ids=["float32", "bfloat16"])
def test_a_folder_opens_as_its_shards_in_the_order_of_their_names(tmp_path, store):
    values = widened(narrowed(np.random.default_rng(0).normal(size=(5, POSITIONS, D_MODEL)).astype(np.float32)))
    for first, last in ((2, 5), (0, 2)):
        np.save(tmp_path / f"{first:06d}.npy", store(values[first:last]))
    opened = open_activations(tmp_path, (5, POSITIONS, D_MODEL))
    assert np.array_equal(np.array(opened), values)
    assert spacing(opened) == (2.0**-7 if store is narrowed else np.finfo(np.float32).eps)
    assert np.array_equal(rows_of(opened)[np.array([14, 0, 7])], values.reshape(-1, D_MODEL)[[14, 0, 7]])
    with pytest.raises(ArtifactError, match="holds 5 contexts, not 4"):
        open_activations(tmp_path, (4, None, None))


def test_folders_that_are_no_activations(tmp_path):
    with pytest.raises(ArtifactError, match="no shard"):
        open_activations(tmp_path)
    np.save(tmp_path / "000000.npy", np.zeros((2, 3, 4), np.float32))
    np.save(tmp_path / "000002.npy", np.zeros((2, 3, 4), np.uint16))
    with pytest.raises(ArtifactError, match="some shards are float32 and some bfloat16"):
        open_activations(tmp_path)
    np.save(tmp_path / "000002.npy", np.zeros((2, 3, 5), np.float32))
    with pytest.raises(ArtifactError, match="000002"):
        open_activations(tmp_path)
