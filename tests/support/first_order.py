"""A mean over dimensions of a ratio from rows, to first order: what `statistics.per_dimension` is held against."""

import numpy as np


def mean_of_ratios(above: np.ndarray, below: np.ndarray, taken: np.ndarray | slice = slice(None)) -> float:
    """Mean over dimensions of Σ above / Σ below of the rows taken, to first order in how often each is.

    That is Σ above with the weights that the denominators of all rows give each dimension, over what the same weights
    make of the denominators.

    Args:
        above, below: [row, dim], or whole contexts [context, token, dim].
        taken: indices along the first axis, each as often as it counts.
    """
    everything = tuple(range(above.ndim - 1))
    whole = below.sum(everything)
    ratios = above.sum(everything) / whole
    return float(ratios.mean() * (above[taken] / whole).sum() / (ratios * below[taken] / whole).sum())
