"""Intervals over contexts: weights times sums for all resamples at once, against `scipy.stats.bootstrap`.

350 SAEs, the R² of five norms each, 2,000 resamples of 100 contexts, BCa on both sides.
"""

from pathlib import Path

import numpy as np
from scipy.stats import bootstrap

from darkmatter.statistics import metrics
from darkmatter.statistics.bootstrap import ContextBootstrap, Interval, drawn
from tests.benches.interleaved import Check, Limit, Peaks, Row, interleave, shortest

SAES, TARGETS, RESAMPLES, CONTEXTS, LEVEL = 350, 5, 2000, 100, 0.95
RIVAL_SAES, PAIRS, ATTEMPTS, GOAL = 14, 3, 20, 20.0
GAP = 0.25  # of an interval's width: both draw 2,000 resamples of their own


def make_sums() -> np.ndarray:
    """[SAE, target, 4, context]: rows, Σ t, Σ t² and Σ (t − t̂)²."""
    random = np.random.default_rng(0)
    shape = (SAES, TARGETS, CONTEXTS)
    rows = random.integers(300, 823, size=shape).astype(float)
    square = rows * random.gamma(20, 0.05, size=shape)
    residual = square * random.beta(20, 30, size=shape)
    total = np.sqrt(rows) * random.standard_normal(shape)
    return np.stack([rows, total, square, residual], 2)


def ours(sums: np.ndarray) -> list[Interval | None]:
    units = ContextBootstrap(CONTEXTS, RESAMPLES, LEVEL, 0)
    return [units.interval(lambda weights, one=one: metrics.r2(weights, *one)) for sae in sums for one in sae]


def r2(rows: np.ndarray, total: np.ndarray, square: np.ndarray, residual: np.ndarray, axis: int = -1) -> np.ndarray:
    spread = square.sum(axis) - total.sum(axis) ** 2 / rows.sum(axis)
    return 1 - residual.sum(axis) / spread


def rival(sums: np.ndarray) -> list[Interval]:
    random = np.random.default_rng(1)
    results = []
    for sae in sums:
        for one in sae:
            answer = bootstrap(
                tuple(one), r2, paired=True, vectorized=True, n_resamples=RESAMPLES, confidence_level=LEVEL, rng=random
            )
            results.append(Interval(float(r2(*one)), *map(float, answer.confidence_interval)))
    return results


def rows(data: Path, peaks: Peaks) -> list[Row]:
    sums = make_sums()
    pairs = interleave(lambda: ours(sums), lambda: rival(sums[:RIVAL_SAES]), PAIRS, SAES / RIVAL_SAES)
    mine, theirs = pairs.results
    gaps = [
        max(abs(a.low - b.low), abs(a.high - b.high)) / (b.high - b.low) for a, b in zip(mine, theirs, strict=False)
    ]
    weights = drawn(CONTEXTS, RESAMPLES, 0)  # 1.6 MB, which stay in the processor's caches
    once = shortest(lambda: weights @ sums[0, 0, 0], ATTEMPTS)
    products = once * SAES * TARGETS * sums.shape[2]
    limit = Limit("products of the weights with each sum, timed alone", products / min(pairs.ours))
    return [
        Row(
            "Bootstrap over contexts",
            f"{SAES} SAEs × {TARGETS} targets, {RESAMPLES:,} resamples of {CONTEXTS} contexts",
            "`scipy.stats.bootstrap`",
            GOAL,
            pairs,
            checks=(Check("largest gap of two ends, in widths", max(gaps), GAP, False),),
            limit=limit,
            note=f"scipy timed on {RIVAL_SAES} of the SAEs with all resamples, and scaled linearly. Both BCa.",
        )
    ]
