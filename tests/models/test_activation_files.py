"""Activations in the model's number type read as float32, exactly, whichever way they are asked for."""

import numpy as np
import pytest
import torch

from darkmatter.models.activation_files import (
    Bfloat16,
    create_activations,
    narrowed,
    open_activations,
    rows_of,
    widened,
)
from darkmatter.models.activation_files import stored as as_file_has
from darkmatter.models.extract import as_stored
from darkmatter.storage.artifacts import ArtifactError


@pytest.fixture
def stored(tmp_path):
    values = torch.randn(5, 7, 3, generator=torch.Generator().manual_seed(0)).mul(1e3).bfloat16()
    np.save(tmp_path / "x.npy", as_stored(values))
    return open_activations(tmp_path / "x.npy", (5, None, 3)), values.float().numpy()


def test_bfloat16_reads_as_the_float32_numbers_it_equals(stored):
    result, expected = stored
    assert isinstance(result, Bfloat16) and result.shape == expected.shape and len(result) == 5
    rows, flat = rows_of(result), expected.reshape(-1, 3)
    for a, b in [
        (result[2], expected[2]),
        (result[1:4], expected[1:4]),
        (np.stack(list(result)), expected),
        (result[:3][2], expected[2]),
        (rows[np.array([30, 0, 4])], flat[[30, 0, 4]]),
        (rows[8:20], flat[8:20]),
    ]:
        assert np.asarray(a).dtype == np.float32 and np.array_equal(np.asarray(a), b)


def test_narrowing_rounds_as_torch_does():
    random = np.random.default_rng(0)
    values = (random.standard_normal(10_000) * 10 ** random.uniform(-38, 38, 10_000)).astype(np.float32)
    halfway = np.array([1 + 2**-8, 1 + 3 * 2**-8, -0.0], dtype=np.float32)  # to the even one
    for part in (values, halfway):
        part = part[None, None]
        np.testing.assert_array_equal(narrowed(part), as_stored(torch.from_numpy(part).bfloat16()))
    assert widened(narrowed(halfway)).tolist() == [1.0, 1 + 2**-6, 0.0]


def test_files_are_created_in_the_number_type_of_others(stored, tmp_path):
    result, expected = stored
    for like, exact in ((result, True), (expected, True), (result, False)):
        file = create_activations(tmp_path / "new.npy", like)
        file[:] = as_file_has(expected if exact else expected * np.float32(1.01), file)
        file.flush()
        again = np.asarray(open_activations(tmp_path / "new.npy"))
        assert np.array_equal(again, expected) == exact
        assert np.allclose(again, expected, rtol=0.02)


def test_float32_is_the_plain_memory_map(tmp_path):
    values = np.random.default_rng(0).normal(size=(2, 3, 4)).astype(np.float32)
    np.save(tmp_path / "x.npy", values)
    result = open_activations(tmp_path / "x.npy")
    assert isinstance(result, np.memmap) and np.array_equal(result, values)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (np.zeros((2, 3, 4)), "float64.*expected float32"),
        (np.zeros((3, 4), dtype=np.uint16), r"uint16\[3, 4\], expected uint16\[None, None, None\]"),
        (None, "does not exist"),
    ],
)
def test_other_files_are_refused(tmp_path, content, message):
    if content is not None:
        np.save(tmp_path / "x.npy", content)
    with pytest.raises(ArtifactError, match=message):
        open_activations(tmp_path / "x.npy")
