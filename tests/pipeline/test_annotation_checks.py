"""Tests run with the annotations checked: shapes, kinds of numbers and types."""

import numpy as np
import pytest
from jaxtyping import TypeCheckError

from darkmatter.models.outliers import kept_of, row_norms
from darkmatter.regression.splits import draw_splits

NORMS = np.array([1.0, 1.0, 9.0])


@pytest.mark.parametrize("rows", [np.zeros(3), np.zeros((3, 2), dtype=int), [[0.0, 0.0]]])
def test_what_an_annotation_excludes_is_refused(rows: object) -> None:
    with pytest.raises(TypeCheckError, match="row_norms"):
        row_norms(rows)


def test_dimensions_of_one_name_have_one_length() -> None:
    splits = draw_splits(6, 4, 0.5, 2, 0)
    with pytest.raises(TypeCheckError):
        type(splits)(splits.token_fit, splits.context_fit[:3], splits.fold, splits.kept)


def test_accepted() -> None:
    np.testing.assert_array_equal(row_norms(np.zeros((3, 2), dtype=np.float32)), np.zeros(3))
    assert kept_of(NORMS, 2).tolist() == kept_of(NORMS, 2.0).tolist() == [True, True, False]  # an int is a float
