"""Exact top-k against sorting, with ties, infinities and every way of grouping."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from darkmatter.saes.topk import GROUPS_PER_K, exact_topk, group_size


def check_topk(pre: torch.Tensor, k: int) -> None:
    values, indices = exact_topk(pre, k)
    assert indices.dtype == torch.int64
    assert torch.equal(values.sort(1, descending=True).values, pre.sort(1, descending=True).values[:, :k])
    assert torch.equal(pre.gather(1, indices), values)
    assert all(len(set(row)) == k for row in indices.tolist()), "a latent was chosen twice"


@given(
    rows=st.integers(1, 6),
    latents=st.sampled_from([1, 7, 16, 64, 96, 256]),
    k=st.integers(1, 16),
    levels=st.sampled_from([1, 2, 5, 1000]),
    seed=st.integers(0, 2**16),
)
def test_values_are_the_k_largest_whatever_the_ties(rows: int, latents: int, k: int, levels: int, seed: int) -> None:
    """`levels` distinct numbers: 1 makes all entries tie, 1000 few."""
    numbers = np.random.default_rng(seed).integers(0, levels, (rows, latents)) - levels // 2
    check_topk(torch.from_numpy(numbers.astype(np.float32)), min(k, latents))


def test_top_entries_crowded_into_one_group() -> None:
    """The worst case for group maxima: the whole top k shares one group, so the bound is loose."""
    latents, k = 512, 8
    size = group_size(latents, k)
    assert size > 1
    pre = -torch.rand(3, latents)
    stride = latents // size
    pre[:, : stride * size : stride] = torch.arange(1.0, size + 1)
    check_topk(pre, k)


def test_infinities_count_as_numbers() -> None:
    pre = torch.randn(4, 256)
    pre[0, 3], pre[1, :] = torch.inf, -torch.inf
    check_topk(pre, 4)


@pytest.mark.parametrize(("latents", "k"), [(256, 4), (100, 4), (8, 8)])
def test_nan_is_an_error(latents: int, k: int) -> None:
    pre = torch.randn(3, latents)
    exact_topk(pre, k)
    pre[1, 5] = torch.nan
    with pytest.raises(FloatingPointError, match="NaN"):
        exact_topk(pre, k)


def test_k_beyond_the_latents_is_an_error() -> None:
    with pytest.raises(ValueError, match="exceeds"):
        exact_topk(torch.zeros(2, 4), 5)


@given(latents=st.integers(1, 4096), k=st.integers(1, 64))
def test_groups_divide_the_latents_and_leave_enough(latents: int, k: int) -> None:
    size = group_size(latents, k)
    assert latents % size == 0
    assert size == 1 or latents // size >= GROUPS_PER_K * k
