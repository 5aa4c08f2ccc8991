"""Numbers that come once per random seed, as one estimate: their mean with its t interval over seeds.

A bootstrap of five values says little about their spread; the t interval of a mean is exact for normal ones. It holds
what the seed draws (noise, random vectors) and nothing else: neither the choice of rows nor that of the SAE.
"""

from collections.abc import Sequence

import numpy as np
from scipy.stats import t as t_distribution

from darkmatter.statistics.estimate import Estimate, Facts


def seed_estimate(
    values: Sequence[float | None],
    level: float,
    rows: int,
    rank: int | None,
    bounds: tuple[float, float] = (-np.inf, np.inf),
    reason: str = "not defined for every seed",
) -> Estimate:
    """One estimate from one value per seed, with these values as `by_seed`.

    Args:
        values: one per seed; None or NaN where a seed has no value, which makes the estimate null.
        bounds: what the quantity cannot pass (a correlation 1); the interval is cut there.
        reason: why a value would be missing.
    """
    by_seed = [None if value is None or not np.isfinite(value) else float(value) for value in values]
    facts: Facts = {"rows": rows, "contexts": None, "rank": rank, "seeds": len(by_seed), "by_seed": by_seed}
    if None in by_seed or len(by_seed) < 2:
        why = reason if None in by_seed else "an interval over seeds needs two of them"
        return {"value": None, "low": None, "high": None, **facts, "reason": why}
    numbers = np.array(by_seed)
    value = float(numbers.mean())
    half = float(t_distribution.ppf(0.5 + level / 2, len(numbers) - 1) * numbers.std(ddof=1) / np.sqrt(len(numbers)))
    low, high = (float(np.clip(end, *bounds)) for end in (value - half, value + half))
    return {"value": value, "low": min(low, value), "high": max(high, value), **facts}
