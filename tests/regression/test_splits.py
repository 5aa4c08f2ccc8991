"""The splits: shares, disjointness, folds, and the same rows everywhere."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from darkmatter.regression.moments import make_blocks
from darkmatter.regression.splits import draw_splits
from darkmatter.storage.artifacts import ArtifactError


@given(contexts=st.integers(5, 40), positions=st.integers(2, 30), folds=st.integers(2, 5), seed=st.integers(0, 99))
def test_shares_folds_and_blocks(contexts, positions, folds, seed):
    splits = draw_splits(contexts, positions, 150 / 247, folds, seed)
    assert splits.token_fit.sum() == round(150 / 247 * contexts * positions)
    assert 0 < splits.context_fit.sum() < contexts
    sizes = np.bincount(splits.fold)
    assert len(sizes) == folds
    assert sizes.max() - sizes.min() <= 1
    held_out = splits.row_sets()
    assert not (held_out[0] & splits.fits_on("token")).any()
    assert set(np.flatnonzero(held_out[1].any(1))) == set(np.flatnonzero(~splits.context_fit))
    blocks = make_blocks(splits)
    for name in splits.fit_sets:  # every fit set is a union of blocks
        assert (np.isin(blocks.members, blocks.fit_sets[name]) == splits.fits_on(name)).all()


def test_same_seed_same_rows_other_seed_other_rows():
    first, again, other = (draw_splits(10, 20, 0.6, 5, seed) for seed in (0, 0, 1))
    assert (first.token_fit == again.token_fit).all()
    assert (first.token_fit != other.token_fit).any()


def test_too_few_contexts_are_refused():
    with pytest.raises(ArtifactError, match=r"raise tokens\.eval_contexts"):
        draw_splits(4, 10, 0.6, 5, 0)
