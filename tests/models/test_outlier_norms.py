"""By what outliers are measured."""

import numpy as np

from darkmatter.models.outliers import kept_of


def test_many_large_rows_do_not_raise_the_norm_that_they_are_measured_by():
    """Three of ten rows are ten times as long: they are outliers beyond four medians, though not beyond four means."""
    norms = np.array([1.0] * 7 + [10.0] * 3)
    assert kept_of(norms, 4.0).tolist() == [True] * 7 + [False] * 3
    assert kept_of(norms, 10.0).all()  # what is exactly at the limit stays
