"""What it costs to predict errors and norms linearly: functions of the sizes alone.

Regressions are counted in float64, though well-conditioned ones multiply in float32: more seconds, never fewer.
"""

from darkmatter.costs.cost import Work
from darkmatter.costs.workload import FLOAT32, FLOAT64, PlannedSae, Workload

NORM_TARGETS = 20  # squared norms that the probes of section 5.1 predict, counted with their residuals
VECTOR_PASSES = 30  # elementwise passes over rows of d_model while an error is split
DECODED = 4  # times that an SAE's reconstruction is built from its codes
TABLE_COLUMNS = 17  # of the per-token table
DIMENSION_SUMS = 6 * 3  # sums per context and dimension of an error: kinds × row sets
X_SUMS = 2 * 3  # the same of x
EIGEN = 10  # d_model³ FLOP of one factorisation


def fit_sets(w: Workload) -> int:
    """The token split, the context split, all rows, and all but each fold."""
    return 3 + w.folds


def blocks(w: Workload) -> int:
    """Sets of rows whose moments are kept apart: fold × side of either split."""
    return 4 * w.folds


def splitting(rows: int, sae: PlannedSae, sets: int) -> Work:
    """Decompose the error of one SAE: moments with the error, four maps at once, probes of the norms."""
    d = sae.d_model
    vectors = (2 + 8) * float(rows) * d * d + 4.0 * sets * d**3
    norms = 2.0 * rows * d * NORM_TARGETS * 5
    traffic = FLOAT32 * float(rows) * d * (VECTOR_PASSES * 2 + DECODED * sae.l0)
    return Work(double=vectors + norms, traffic=traffic, python=0.5)


def shared_moments(rows: int, d: int, sets: int) -> Work:
    return Work(double=2.0 * rows * d * d + EIGEN * sets * float(d) ** 3, traffic=FLOAT64 * 6.0 * rows * d)


def moments_memory(w: Workload, d: int) -> float:
    """Moments of every block, factors and maps of every fit set, and then either the blocks of a fit set once more or
    the maps of every fold side by side.
    """
    return FLOAT64 * float(d) ** 2 * (blocks(w) + 2 * fit_sets(w) + 4 * w.folds)


def roots(w: Workload, d: int) -> float:
    """Factors of every fit set, as they are stored."""
    return FLOAT64 * float(d) ** 2 * fit_sets(w)
