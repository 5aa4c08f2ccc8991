"""Least squares from block moments: theorems, limiting cases, and the dense solution."""

import numpy as np
import pytest
import scipy.linalg
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from darkmatter.regression.least_squares import factorise, fit
from darkmatter.regression.moments import CrossMomentsFitter, make_blocks
from darkmatter.regression.splits import draw_splits
from darkmatter.storage.artifacts import ArtifactError

CONTEXTS, POSITIONS = 9, 30


def moments_of(x, t, x_shift, t_shift, splits):
    """Fitted CrossMomentsFitters of (x, x) and (x, t), and their blocks."""
    blocks = make_blocks(splits)
    own = CrossMomentsFitter(blocks, x.shape[-1], x.shape[-1])
    cross = CrossMomentsFitter(blocks, x.shape[-1], t.shape[-1])
    for context in range(len(x)):
        own.update(context, x[context] - x_shift, x[context] - x_shift)
        cross.update(context, x[context] - x_shift, t[context] - t_shift)
    return own, cross


@settings(max_examples=30)
@given(seed=st.integers(0, 2**32 - 1), d_model=st.integers(1, 6), mean=st.sampled_from([0.0, 1.0, 3000.0]))
def test_every_fit_set_equals_dense_least_squares(seed, d_model, mean):
    random = np.random.default_rng(seed)
    x = random.standard_normal((CONTEXTS, POSITIONS, d_model)) + mean
    t = x @ random.standard_normal((d_model, 2)) + random.standard_normal((CONTEXTS, POSITIONS, 2)) + 7
    splits = draw_splits(CONTEXTS, POSITIONS, 0.6, 3, seed % 1000)
    x_shift = torch.from_numpy(x.mean((0, 1)) + random.standard_normal(d_model))
    t_shift = torch.from_numpy(random.standard_normal(2))
    own, cross = moments_of(torch.from_numpy(x), torch.from_numpy(t), x_shift, t_shift, splits)
    for name in splits.fit_sets:
        rows = splits.fits_on(name)
        result = fit(factorise(own.fit_set(name), 1e-12), cross.fit_set(name), x_shift, t_shift)
        shifted = torch.from_numpy(x[rows]) - x_shift
        with_intercept = shifted @ result.weight + result.intercept
        through_origin = with_intercept + torch.outer(result.excess(shifted), result.b_0)
        design = np.column_stack([x[rows], np.ones(rows.sum())])
        expected = design @ scipy.linalg.lstsq(design, t[rows])[0]
        np.testing.assert_allclose(with_intercept.numpy(), expected, atol=1e-7)
        expected = x[rows] @ scipy.linalg.lstsq(x[rows], t[rows])[0]
        np.testing.assert_allclose(through_origin.numpy(), expected, atol=1e-6)
        assert result.rank == d_model
        assert result.rows == rows.sum()


def test_residual_is_orthogonal_to_activations():
    """First-order optimality: Σ (x − x̄)(t − t̂)ᵀ = 0 on the fit rows; off them it is not."""
    random = np.random.default_rng(0)
    x, t = (torch.from_numpy(random.standard_normal((CONTEXTS, POSITIONS, d))) for d in (5, 3))
    splits = draw_splits(CONTEXTS, POSITIONS, 0.6, 3, 0)
    zero = torch.zeros(5, dtype=torch.float64), torch.zeros(3, dtype=torch.float64)
    own, cross = moments_of(x, t, *zero, splits)
    result = fit(factorise(own.fit_set("token"), 1e-12), cross.fit_set("token"), *zero)
    for rows, vanishes in ((splits.token_fit, True), (~splits.token_fit, False)):
        residual = t[rows] - x[rows] @ result.weight - result.intercept
        assert (float((x[rows].T @ residual).abs().max()) < 1e-9) == vanishes


def test_exact_copy_of_a_dimension_lowers_the_rank_only():
    random = np.random.default_rng(0)
    x = random.standard_normal((CONTEXTS, POSITIONS, 4))
    x = torch.from_numpy(np.concatenate([x, 2 * x[..., :1]], -1))
    t = torch.from_numpy(random.standard_normal((CONTEXTS, POSITIONS, 1)))
    splits = draw_splits(CONTEXTS, POSITIONS, 0.6, 3, 0)
    zero = torch.zeros(5, dtype=torch.float64), torch.zeros(1, dtype=torch.float64)
    own, cross = moments_of(x, t, *zero, splits)
    factor = factorise(own.fit_set("all"), 1e-12)
    assert factor.rank == 4
    result = fit(factor, cross.fit_set("all"), *zero)
    design = np.column_stack([x.reshape(-1, 5)[:, :4], np.ones(CONTEXTS * POSITIONS)])
    expected = design @ scipy.linalg.lstsq(design, t.reshape(-1, 1).numpy())[0]
    np.testing.assert_allclose((x.reshape(-1, 5) @ result.weight + result.intercept).numpy(), expected, atol=1e-9)


def test_fewer_rows_than_dimensions_are_refused():
    splits = draw_splits(3, 4, 0.6, 3, 0)
    x = torch.zeros(3, 4, 20, dtype=torch.float64)
    own, _ = moments_of(x, x, x[0, 0], x[0, 0], splits)
    with pytest.raises(ArtifactError, match="needs more than 21 rows"):
        factorise(own.fit_set("all"), 1e-12)
