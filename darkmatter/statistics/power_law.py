"""The power law with a constant, `y = c + a·W^−m`, of Fig. 1: what FVU tends to as an SAE gets wider.

The asymptote c is held at or above 0: it stands for a share of variance, and without the bound the law has a
degenerate limit (m → 0, c → −∞) that fits any straight line in log W, so that no interval would end below.
"""

import math
from dataclasses import dataclass

import numpy as np
from scipy.optimize import brentq, least_squares
from scipy.stats import f as f_distribution

PARAMETERS = 3
M_MIN, M_MAX = 1e-3, 8.0  # below: a constant over any real range of widths; above: gone after the first width
SAME_OPTIMUM = 1e-3  # relative to the spread of y: starts whose asymptotes agree this well found one optimum


@dataclass(frozen=True)
class PowerLaw:
    """A fit of `y = c + a·W^−m`; with None for what the data cannot say, and the `reason`.

    Attributes:
        asymptote: c, in the unit of y.
        low, high: interval of c by profile likelihood; None when no degree of freedom is left for it.
        includes_zero: the interval reaches its bound 0: the data do not show that there is an asymptote.
        scale: a.
        exponent: m.
        rss: residual sum of squares.
        points: how many points were fitted.
        starts: how many random starts were made.
        starts_agreeing: share of them that ended at this asymptote.
        reason: why something above is None; None when nothing is.
    """

    asymptote: float | None
    low: float | None
    high: float | None
    includes_zero: bool | None
    scale: float | None
    exponent: float | None
    rss: float | None
    points: int
    starts: int
    starts_agreeing: float | None
    reason: str | None

    def predict(self, W: np.ndarray) -> np.ndarray | None:
        """y at the widths W, shape (width,); None where nothing was fitted."""
        if self.asymptote is None:
            return None
        if self.exponent is None or self.scale is None:
            return np.full(len(W), self.asymptote)
        return self.asymptote + self.scale * np.asarray(W, dtype=float) ** -self.exponent


def fit_power_law(W: np.ndarray, y: np.ndarray, starts: int, seed: int, level: float = 0.95) -> PowerLaw:
    """Unweighted nonlinear least squares from many seeded starts.

    The interval holds every c whose best fit is not worse by more than an F test with (1, points − 3) degrees of
    freedom allows at `level`. It reflects the scatter around the curve, and neither the sampling of tokens nor
    the seed of an SAE.

    Args:
        W: widths, shape (point,), positive.
        y: values, shape (point,), finite.

    Raises:
        ValueError: shapes differ, or a width or value is not usable.
    """
    W, y = np.asarray(W, dtype=float), np.asarray(y, dtype=float)
    if W.shape != y.shape or W.ndim != 1 or not np.isfinite(y).all() or not (W > 0).all():
        raise ValueError("a power law needs two equally long rows of positive widths and finite values")
    if len(np.unique(W)) < PARAMETERS:
        return nothing(len(y), starts, f"{len(np.unique(W))} widths cannot fix the {PARAMETERS} parameters c, a, m")
    spread = float(np.ptp(y))
    if spread <= 1e-12 * max(1.0, float(np.abs(y).max())):
        reason = "the values do not change with width: a is 0 and m is undefined"
        value = float(y.mean())
        return PowerLaw(value, value, value, value <= 0, 0.0, None, 0.0, len(y), starts, 1.0, reason)
    u = W / math.exp(float(np.log(W).mean()))
    results = [solve(u, y, *start) for start in random_starts(y, starts, seed)]
    rss, c, a, m = min(results)
    agreeing = sum(abs(other[1] - c) <= SAME_OPTIMUM * spread for other in results) / starts
    scale = a * (W[0] / u[0]) ** m
    fitted = {"asymptote": c, "scale": scale, "exponent": m, "rss": rss, "points": len(y), "starts": starts}
    if len(y) == PARAMETERS:
        reason = "as many points as parameters: the curve passes through all of them, no interval"
        return PowerLaw(low=None, high=None, includes_zero=None, starts_agreeing=agreeing, reason=reason, **fitted)
    low, high = profile_interval(u, y, c, rss, level)
    return PowerLaw(low=low, high=high, includes_zero=low <= 0, starts_agreeing=agreeing, reason=None, **fitted)


@dataclass(frozen=True)
class Ending:
    """Where some of the starts ended. `flat`: a curve that does not fall, which is no power law."""

    starts: int
    asymptote: float
    exponent: float
    rss: float
    flat: bool


def endings(W: np.ndarray, y: np.ndarray, starts: int, seed: int) -> list[Ending]:
    """The optima that the starts of `fit_power_law` reach, the best first.

    Raises:
        ValueError: fewer widths than parameters, or values that do not change with width.
    """
    W, y = np.asarray(W, dtype=float), np.asarray(y, dtype=float)
    spread = float(np.ptp(y))
    if len(np.unique(W)) < PARAMETERS or spread == 0:
        raise ValueError(f"{len(np.unique(W))} widths with a spread of {spread:g} fix no power law")
    u = W / math.exp(float(np.log(W).mean()))
    groups: list[list[tuple[float, float, float, bool]]] = []
    for rss, c, a, m in sorted(solve(u, y, *start) for start in random_starts(y, starts, seed)):
        one = (rss, c, m, bool(a * np.ptp(u**-m) <= SAME_OPTIMUM * spread))
        for group in groups:
            if abs(group[0][1] - c) <= SAME_OPTIMUM * spread and group[0][3] == one[3]:
                group.append(one)
                break
        else:
            groups.append([one])
    return [Ending(len(group), group[0][1], group[0][2], group[0][0], group[0][3]) for group in groups]


def nothing(points: int, starts: int, reason: str) -> PowerLaw:
    return PowerLaw(None, None, None, None, None, None, None, points, starts, None, reason)


def random_starts(y: np.ndarray, starts: int, seed: int) -> list[tuple[float, float, float]]:
    """(c, a, m): c anywhere from 0 to the largest value, a up to twice the spread, m log-uniform."""
    rng = np.random.default_rng(seed)
    c = rng.uniform(0, max(float(y.max()), 1e-12), starts)
    a = rng.uniform(0.02, 2.0, starts) * float(np.ptp(y))
    m = np.exp(rng.uniform(math.log(0.05), math.log(3.0), starts))
    return [(float(c[i]), float(a[i]), float(m[i])) for i in range(starts)]


def solve(u: np.ndarray, y: np.ndarray, c: float, a: float, m: float) -> tuple[float, float, float, float]:
    """Least squares from one start, in (c, a, log m) on the centred widths u; returns (rss, c, a, m)."""
    log_u = np.log(u)

    def residual(theta: np.ndarray) -> np.ndarray:
        return theta[0] + theta[1] * np.exp(-math.exp(theta[2]) * log_u) - y

    def jacobian(theta: np.ndarray) -> np.ndarray:
        exponent = math.exp(theta[2])
        power = np.exp(-exponent * log_u)
        return np.stack([np.ones_like(u), power, -theta[1] * exponent * log_u * power], axis=1)  # (point, 3)

    bounds = ([0, 0, math.log(M_MIN)], [np.inf, np.inf, math.log(M_MAX)])
    result = least_squares(
        residual, [c, a, math.log(m)], jac=jacobian, bounds=bounds, x_scale="jac", ftol=1e-14, xtol=1e-14, gtol=1e-14
    )
    return float(2 * result.cost), float(result.x[0]), float(result.x[1]), float(math.exp(result.x[2]))


def profile_rss(u: np.ndarray, y: np.ndarray, c: np.ndarray) -> np.ndarray:
    """Smallest residual sum of squares for each fixed c, shape (c,): a in closed form, m by two nested grids."""
    excess = (y - c[:, None])[:, None, :]  # (c, 1, point)

    def over(log_m: np.ndarray) -> np.ndarray:
        power = np.exp(-np.exp(log_m)[..., None] * np.log(u))  # (c or 1, m, point)
        a = np.maximum((excess * power).sum(-1) / (power * power).sum(-1), 0)
        return ((excess - a[..., None] * power) ** 2).sum(-1)  # (c, m)

    coarse = np.linspace(math.log(M_MIN), math.log(M_MAX), 120)
    best = coarse[over(coarse[None]).argmin(axis=1)]
    step = coarse[1] - coarse[0]
    fine = np.clip(best[:, None] + np.linspace(-step, step, 41), math.log(M_MIN), math.log(M_MAX))
    return over(fine).min(axis=1)


def profile_interval(u: np.ndarray, y: np.ndarray, c: float, rss: float, level: float) -> tuple[float, float]:
    """The outermost values of the asymptote that the F test accepts; 0 when it accepts all the way down."""
    freedom = len(y) - PARAMETERS
    floor = (1e-9 * float(np.ptp(y))) ** 2 * len(y)  # exact data: rounding is the only scatter
    limit = max(rss, floor) * (1 + float(f_distribution.ppf(level, 1, freedom)) / freedom)

    def excess(value: float) -> float:
        return float(profile_rss(u, y, np.array([value]))[0]) - limit

    def edge(values: np.ndarray) -> float:
        """Walk outwards from c; refine where the profile crosses the limit for the last time."""
        inside = np.flatnonzero(profile_rss(u, y, values) <= limit)
        last = int(inside[-1]) if len(inside) else -1
        if last < 0:
            return c
        if last == len(values) - 1:
            return float(values[-1])
        return float(brentq(excess, values[last], values[last + 1], xtol=1e-12))

    # Above the mean by this much, even a constant is rejected: the upper end is always inside the walk.
    top = float(y.mean()) + math.sqrt(limit / len(y)) + 1e-9
    steps = np.linspace(0, 1, 120) ** 2  # finest at c
    return edge(c - c * steps), edge(c + max(top - c, 0) * steps)
