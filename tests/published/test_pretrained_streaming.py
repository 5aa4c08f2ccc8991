"""Wide SAEs are read in blocks: never whole in memory, whatever their layout; codes do not depend on the blocks."""

import sys
import tracemalloc
from pathlib import Path

import numpy as np
import published_saes as published
import pytest
import torch

from darkmatter.saes.published.load import load_pretrained
from darkmatter.saes.published.matrices import Matrix
from darkmatter.storage.artifacts import ArtifactError

ROWS = published.rows(40)
LATENTS, BLOCK = 65536, 512 << 10  # each matrix has 12.6 MB, a block 0.5 MB


@pytest.mark.parametrize("make", [published.gemma_scope, published.llama_scope, published.sae_lens])
def test_memory_stays_below_a_few_blocks(tmp_path: Path, make, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = make(tmp_path / "saes", LATENTS)
    tracemalloc.start()
    try:
        loaded = load_pretrained(folder, block_bytes=BLOCK)
        vectors = 4 * 4 * LATENTS  # biases and thresholds, some while they are converted
        codes = loaded.sae.encode(ROWS)
        loaded.sae.decode(codes)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert loaded.d_sae == LATENTS
    assert peak < vectors + 4 * BLOCK, f"{peak / BLOCK:.1f} blocks"


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_pages_of_the_file_are_given_back_after_each_block(tmp_path: Path) -> None:
    np.save(tmp_path / "W_dec.npy", np.ones((LATENTS, 128), dtype=np.float32))  # 34 MB
    matrix = Matrix(np.load(tmp_path / "W_dec.npy", mmap_mode="r"), latents_first=True)

    def mapped() -> int:
        (line,) = (line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("RssFile"))
        return int(line.split()[1]) * 1024

    before = mapped()
    for start in range(0, LATENTS, 1024):
        assert np.all(matrix.block(start, start + 1024) == 1)
        assert mapped() < before + 8e6
    matrix.stored.sum()
    assert mapped() > before + 30e6  # what is read without blocks stays
    assert matrix.rows(np.array([5, 3])).shape == (2, 128)


@pytest.mark.parametrize("make", [published.gemma_scope, published.sae_lens, published.sparsify])
def test_codes_do_not_depend_on_the_blocks(tmp_path: Path, make) -> None:
    folder = make(tmp_path / "saes", 1000)
    whole = load_pretrained(folder).sae.encode(ROWS)
    for latents in (1, 7, 333, 999):
        blocks = load_pretrained(folder, block_bytes=4 * published.D_MODEL * latents).sae.encode(ROWS)
        assert np.array_equal(blocks.index, whole.index)
        assert np.array_equal(blocks.l0, whole.l0)
        np.testing.assert_allclose(blocks.value, whole.value, rtol=1e-5, atol=1e-6)


def test_rows_as_tensor_map_or_half_precision_and_none_at_all(tmp_path: Path) -> None:
    sae = load_pretrained(published.gemma_scope(tmp_path, 1000)).sae
    np.save(tmp_path / "rows.npy", ROWS)
    expected = sae.reconstruct(ROWS)
    for rows in (torch.from_numpy(ROWS), np.load(tmp_path / "rows.npy", mmap_mode="r"), ROWS.astype(np.float64)):
        assert np.array_equal(sae.reconstruct(rows), expected)
    half = torch.from_numpy(ROWS).bfloat16()
    assert np.array_equal(sae.reconstruct(half), sae.reconstruct(half.float()))
    none = sae.encode(ROWS[:0])
    assert none.index.shape == (0, 0)
    assert sae.decode(none).shape == (0, published.D_MODEL)
    silent = sae.encode(np.zeros((3, published.D_MODEL)) + sae.weights.b_dec)
    np.testing.assert_array_equal(sae.decode(silent), np.tile(sae.weights.b_dec, (3, 1)))
    with pytest.raises(ArtifactError, match=r"rows of shape \[40, 47\], expected \[row, 48\]"):
        sae.encode(ROWS[:, 1:])
