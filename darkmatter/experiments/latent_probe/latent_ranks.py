"""Rank correlation and median over latents, with bootstrap intervals that resample latents.

A resample is a column of weights: how often each latent was drawn. Sorting once and summing weights in that order gives
the ranks and the median of every resample, equal to what `scipy.stats.spearmanr` and `numpy.median` find on the
drawn latents, without sorting 2,000 times. Weights are whole and ranks are halves of whole numbers, so that all sums
are exact, in whatever order they are taken.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from darkmatter.statistics import metrics
from darkmatter.statistics.bootstrap import Interval

Weights = Float[np.ndarray, "latent resample"]  # latents first: sorting then moves whole rows of memory
Statistics = Callable[[Weights], Mapping[str, Float[np.ndarray, " resample"]]]

CHUNK = 50  # resamples at once: 3 MB at 8,192 latents


@dataclass(frozen=True)
class Resampled:
    """A statistic on the data, and on every resample."""

    value: float
    drawn: Float[np.ndarray, " resample"]

    def interval(self, level: float) -> Interval | None:
        """Percentile interval; None where the statistic is undefined, undefined resamples left out.

        BCa's jackknife would take one pass per latent, and with thousands of them its correction is small.
        """
        drawn = self.drawn[np.isfinite(self.drawn)]
        if not (np.isfinite(self.value) and len(drawn)):
            return None
        low, high = np.quantile(drawn, [(1 - level) / 2, (1 + level) / 2])
        return Interval(self.value, float(low), float(high))


def resample(statistics: Statistics, latents: int, resamples: int, seed: int) -> dict[str, Resampled]:
    """Several statistics of the same resamples of the latents."""
    random = np.random.default_rng(seed)
    drawn: dict[str, list[np.ndarray]] = {}
    for start in range(0, resamples, CHUNK):
        size = min(CHUNK, resamples - start)
        places = random.integers(latents, size=(size, latents)) * size + np.arange(size)[:, None]
        weights = np.bincount(places.ravel(), minlength=size * latents).reshape(latents, size).astype(np.float64)
        for name, result in statistics(weights).items():
            drawn.setdefault(name, []).append(result)
    values = statistics(np.ones((latents, 1)))
    return {name: Resampled(float(value[0]), np.concatenate(drawn[name])) for name, value in values.items()}


class Ranks:
    """Ranks of some values in any resample of them; equal values share their mean rank."""

    def __init__(self, values: Float[np.ndarray, " latent"]) -> None:
        self.order = np.argsort(values, kind="stable")
        _, self.group, counts = np.unique(values, return_inverse=True, return_counts=True)
        self.starts = np.cumsum(counts) - counts

    def of(self, weights: Weights) -> Weights:
        """Rank of each latent in each resample, less the mean rank; that of a latent not drawn means nothing."""
        size = weights[self.order]
        middle = (weights.sum(0) + 1) / 2
        if len(self.starts) < len(self.order):
            size = np.add.reduceat(size, self.starts, axis=0)
        ranks = np.cumsum(size, 0)
        ranks -= (size - 1) / 2 + middle
        return ranks[self.group]


def rank_correlation(
    weights: Weights, first: Mapping[str, Weights], second: Mapping[str, Weights]
) -> dict[tuple[str, str], Float[np.ndarray, " resample"]]:
    """Spearman's of each of the first with each of the second, from their ranks; NaN where all ranks are equal."""
    dot = lambda one, other: np.einsum("lr,lr->r", one, other)  # noqa: E731
    weighted = {name: weights * ranks for name, ranks in first.items()}
    spread = {name: dot(weighted[name], ranks) for name, ranks in first.items()}
    spreads = {name: dot(weights * ranks, ranks) for name, ranks in second.items()}
    return {
        (one, other): metrics.ratio(dot(weighted[one], ranks), np.sqrt(spread[one] * spreads[other]))
        for one in first
        for other, ranks in second.items()
    }


def weighted_median(values: Float[np.ndarray, " latent"]) -> Callable[[Weights], Float[np.ndarray, " resample"]]:
    """The median of the drawn values, as a function of the weights."""
    order = np.argsort(values, kind="stable")
    ordered = values[order]

    def median(weights: Weights) -> Float[np.ndarray, " resample"]:
        below = weights[order]
        np.cumsum(below, 0, out=below)
        middle = [np.count_nonzero(below < np.floor((below[-1] + side) / 2), axis=0) for side in (1, 2)]
        return (ordered[middle[0]] + ordered[middle[1]]) / 2

    return median
