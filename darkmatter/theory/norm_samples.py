"""Monte Carlo of the norm test: random weights of orthogonal unit features, and what least squares finds in them.

With orthogonal unit features the coordinates of x are the weights w themselves and ‖x‖² = wᵀw, so that
correlations and least squares need the second moments of z = (1, w, wᵀw) and nothing else. Rows are drawn in
groups and only each group's sum of z zᵀ is kept; rows are independent, so intervals from resampled groups are
intervals over rows.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from darkmatter.statistics.bootstrap import ContextBootstrap, Weights

GROUPS = 200  # enough for the jackknife inside BCa; 20,000 resamples of 200 weights are 32 MB
RESAMPLES = 20_000  # simultaneous intervals reach far into the tails

Draw = Callable[[np.random.Generator, int], np.ndarray]
Statistic = Callable[["Moments"], np.ndarray]


@dataclass(frozen=True)
class Moments:
    """Second moments of (w, wᵀw) under each weighting of the groups: the leading axis is the resample.

    Attributes:
        mean_w: [resample, feature]
        mean_y: [resample], y = wᵀw
        gram: E[w wᵀ], [resample, feature, feature]
        cross: E[w y], [resample, feature]
        mean_yy: E[y²], [resample]
    """

    mean_w: np.ndarray
    mean_y: np.ndarray
    gram: np.ndarray
    cross: np.ndarray
    mean_yy: np.ndarray

    @property
    def covariance(self) -> np.ndarray:
        return self.gram - self.mean_w[:, :, None] * self.mean_w[:, None, :]

    @property
    def covariance_with_y(self) -> np.ndarray:
        return self.cross - self.mean_w * self.mean_y[:, None]

    @property
    def variance_y(self) -> np.ndarray:
        return self.mean_yy - self.mean_y**2

    def least_squares(self, intercept: bool) -> Float[np.ndarray, "resample feature"]:
        """Coefficients of y on w."""
        matrix, target = (self.covariance, self.covariance_with_y) if intercept else (self.gram, self.cross)
        return np.linalg.solve(matrix, target[:, :, None])[:, :, 0]

    def correlation(self, b: np.ndarray) -> Float[np.ndarray, " resample"]:
        """Pearson correlation of bᵀw and wᵀw."""
        variance_prediction = np.einsum("rij,i,j->r", self.covariance, b, b)
        return self.covariance_with_y @ b / np.sqrt(variance_prediction * self.variance_y)

    def r2(self) -> Float[np.ndarray, " resample"]:
        """R² of least squares with an intercept."""
        return np.sum(self.least_squares(True) * self.covariance_with_y, axis=1) / self.variance_y

    def excess(self, b: np.ndarray, intercept: bool) -> Float[np.ndarray, " resample"]:
        """Mean squared error of bᵀw above that of least squares: (b − b*)ᵀ M (b − b*), M the normal matrix."""
        difference = b - self.least_squares(intercept)
        matrix = self.covariance if intercept else self.gram
        return np.einsum("ri,rij,rj->r", difference, matrix, difference)


@dataclass(frozen=True)
class SampleSums:
    """Sums of z zᵀ of every group of rows, z = (1, w, wᵀw): [group, 2 + feature, 2 + feature]."""

    sums: np.ndarray

    @property
    def rows(self) -> int:
        return int(self.sums[:, 0, 0].sum())

    def moments(self, weights: Weights) -> Moments:
        size = self.sums.shape[1]
        total = (weights @ self.sums.reshape(len(self.sums), -1)).reshape(-1, size, size)
        mean = total / total[:, :1, :1]
        return Moments(mean[:, 0, 1:-1], mean[:, 0, -1], mean[:, 1:-1, 1:-1], mean[:, 1:-1, -1], mean[:, -1, -1])

    def estimate(self, statistic: Statistic, bootstrap: ContextBootstrap) -> dict[str, float | int]:
        """The statistic with its interval, as results files write an estimate."""
        interval = bootstrap.interval(lambda weights: statistic(self.moments(weights)))
        if interval is None:
            raise ValueError("the statistic has no value on this sample")
        return {"value": interval.value, "low": interval.low, "high": interval.high, "rows": self.rows}


def draw_sample(draw: Draw, rows: int, seed: list[int], groups: int = GROUPS) -> SampleSums:
    """Draw `rows` rows group by group; `draw(random, n)` returns weights [n, feature]."""
    random = np.random.default_rng(seed)
    sums = []
    for size in np.diff(np.arange(groups + 1) * rows // groups):
        w = draw(random, int(size))
        z = np.column_stack([np.ones(size), w, np.sum(w**2, axis=1)])  # (row, 2 + feature)
        sums.append(z.T @ z)
    return SampleSums(np.array(sums))


def bootstrap(checks: int, level: float, seed: int) -> ContextBootstrap:
    """Intervals that hold for all `checks` together (Bonferroni), with groups of rows as the units."""
    return ContextBootstrap(contexts=GROUPS, resamples=RESAMPLES, level=1 - (1 - level) / checks, seed=seed)
