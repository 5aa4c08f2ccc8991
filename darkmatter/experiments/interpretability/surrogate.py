"""The judge's stand-in where there is none: a linear classifier on the n-grams of a window's tokens.

It learns from the windows that an explanation would be made from and as many silent ones, and predicts the judged
windows. So it measures how far a latent's firing follows from single tokens and pairs of them, which is less than
what a language model sees in a text: its numbers are labelled `surrogate` everywhere.

A window is the vector of its tokens and pairs of neighbouring tokens (present or not), weighted by rarity among all
windows (smoothed idf) and scaled to length 1. The classifier is logistic regression,

    min over w, b of  ½ ‖w‖² + Σ log(1 + exp(−y (w·x + b))),

with the penalty's weight at 1. Its w is a combination Σ α_i x_i of the few rows it learns from, so that 20 + 1 numbers
are fitted instead of one for each n-gram.
"""

import numpy as np
import scipy.sparse
from jaxtyping import Float, Int
from scipy.optimize import minimize
from scipy.special import expit

GRADIENT_TOLERANCE = 1e-9


def ngram_features(windows: Int[np.ndarray, "window size"]) -> tuple[scipy.sparse.csr_array, np.ndarray]:
    """Unit rows [window, n-gram], and the n-grams [n-gram, 2]: (token, −1) or a pair of tokens."""
    count, size = windows.shape
    single = np.stack([windows.ravel(), np.full(windows.size, -1)], axis=1)
    pairs = np.stack([windows[:, :-1].ravel(), windows[:, 1:].ravel()], axis=1)
    rows = np.concatenate([np.repeat(np.arange(count), size), np.repeat(np.arange(count), size - 1)])
    ngrams, column = np.unique(np.concatenate([single, pairs]), axis=0, return_inverse=True)
    present = scipy.sparse.csr_array((np.ones(len(rows)), (rows, column.ravel())), shape=(count, len(ngrams)))
    present.data[:] = 1.0  # an n-gram that stands twice in a window counts once
    result = np.bincount(present.indices, minlength=len(ngrams))
    weighted = present.multiply(np.log((1 + count) / (1 + result)) + 1).tocsr()
    norms = np.sqrt(weighted.multiply(weighted).sum(axis=1))
    return scipy.sparse.csr_array(weighted.multiply(1 / norms[:, None])), ngrams


def fit_logistic(gram: Float[np.ndarray, "row row"], fires: np.ndarray) -> tuple[Float[np.ndarray, " row"], float]:
    """α and b of the penalised logistic regression with kernel matrix `gram` = X Xᵀ.

    Args:
        fires: [row] bool; both values must occur.

    Raises:
        ValueError: only one of the two occurs.
    """
    if fires.all() or not fires.any():
        raise ValueError("a classifier needs examples of both kinds")
    sign = np.where(fires, 1.0, -1.0)

    def loss(parameters: np.ndarray) -> tuple[float, np.ndarray]:
        alpha, intercept = parameters[:-1], parameters[-1]
        smooth = gram @ alpha
        margin = sign * (smooth + intercept)
        pull = -sign * expit(-margin)
        value = 0.5 * alpha @ smooth + np.logaddexp(0, -margin).sum()
        return value, np.append(gram @ (alpha + pull), pull.sum())

    start = np.zeros(len(fires) + 1)
    result = minimize(loss, start, jac=True, method="BFGS", options={"gtol": GRADIENT_TOLERANCE})
    return result.x[:-1], float(result.x[-1])


def predict(features: scipy.sparse.csr_array, learned: np.ndarray, fires: np.ndarray, judged: np.ndarray):
    """Whether the latent fires in each judged window, and the weights of the n-grams.

    Args:
        learned: windows to learn from, and in `fires` what the latent does there.
        judged: windows to predict.

    Returns:
        predictions [judged] bool, weights [n-gram].
    """
    known = features[learned]
    alpha, intercept = fit_logistic((known @ known.T).toarray(), fires)
    weights = known.T @ alpha
    return features[judged] @ weights + intercept > 0, weights
