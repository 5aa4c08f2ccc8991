"""Which directions a regression fits."""

import numpy as np
import torch

from darkmatter.regression.least_squares import factorise
from darkmatter.regression.moments import CrossMomentsFitter, make_blocks
from darkmatter.regression.splits import draw_splits

CONTEXTS, POSITIONS, DIMENSIONS = 9, 30, 100


def test_the_cutoff_is_relative_to_the_largest_eigenvalue():
    """Of 100 dimensions that move together it is near 100: what moves one of them alone is below the cutoff."""
    random = np.random.default_rng(0)
    together = random.standard_normal((CONTEXTS, POSITIONS, 1))
    x = torch.from_numpy(together + 3e-3 * random.standard_normal((CONTEXTS, POSITIONS, DIMENSIONS)))
    fitter = CrossMomentsFitter(make_blocks(draw_splits(CONTEXTS, POSITIONS, 0.6, 3, 0)), DIMENSIONS, DIMENSIONS)
    for context in range(CONTEXTS):
        fitter.update(context, x[context], x[context])
    moments = fitter.fit_set("all")
    assert factorise(moments, 1e-6).rank == 1
    assert factorise(moments, 1e-9).rank == DIMENSIONS
