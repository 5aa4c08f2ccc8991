"""A statistic that remembers how often it was undefined.

A ratio whose denominator changes sign among the resamples has no bounded interval.
"""

from dataclasses import dataclass

import numpy as np

from darkmatter.statistics.bootstrap import Statistic, Weights


@dataclass
class WatchedStatistic:
    """Counts the undefined values among its `resamples`; other calls (the data, the jackknife) pass by."""

    statistic: Statistic
    resamples: int
    undefined: float = 0.0

    def __call__(self, weights: Weights) -> np.ndarray:
        result = self.statistic(weights)
        if len(weights) == self.resamples:
            self.undefined = float(np.mean(~np.isfinite(result)))
        return result

    def too_often_undefined(self, level: float) -> bool:
        """Whether more resamples have no value than lie beyond one end of the interval: then that end is unknown."""
        return self.undefined > (1 - level) / 2
