"""Cost of the decomposition, and of the stages that judge, draw and write: pure functions of the workload."""

from darkmatter.costs.cost import Cost, Work, many, together
from darkmatter.costs.regressions import (
    DIMENSION_SUMS,
    TABLE_COLUMNS,
    X_SUMS,
    fit_sets,
    moments_memory,
    roots,
    shared_moments,
    splitting,
)
from darkmatter.costs.saes import BASE, codes_size, decoder, opened, opening, unpacked
from darkmatter.costs.workload import FLOAT32, FLOAT64, Workload


def decomposition(w: Workload) -> Cost:
    return together([decomposition_at(w, hookpoint) for hookpoint in w.hookpoints])


def decomposition_at(w: Workload, hookpoint: str) -> Cost:
    """One run of the stage; hookpoints follow one another."""
    d, saes = w.hookpoints[hookpoint], w.at(hookpoint)
    if not saes:
        return Cost()
    shared = shared_moments(w.rows, d, fit_sets(w))
    steps = (
        Work(double=shared.double, traffic=shared.traffic, loads="torch", on_device=True),
        many([*(splitting(w.rows, sae, fit_sets(w)) for sae in saes), opening(saes)], on_device=True),
        Work(python=0.2 * len(saes)),
    )
    own = max(decoder(sae) + codes_size(w.rows, sae) for sae in saes) + FLOAT64 * w.rows * TABLE_COLUMNS * 2
    sums = FLOAT64 * DIMENSION_SUMS * w.tokens.eval_contexts * d
    staged = BASE["torch"] + own + roots(w, d) + sums
    moments = FLOAT64 * X_SUMS * w.tokens.eval_contexts * d
    disk = len(saes) * FLOAT32 * w.rows * TABLE_COLUMNS + moments + (roots(w, d) if hookpoint == w.main else 0.0)
    return Cost(
        steps, BASE["torch"] + own, moments_memory(w, d) + sums, staged, disk, unpacked(saes), read=opened(saes)
    )


def results(w: Workload) -> Cost:
    return Cost((Work(python=1.3),), 0.1e9, disk=0.2e6 * len(w.saes))


def claims(w: Workload) -> Cost:
    return Cost((Work(python=4.0 + 0.12 * len(w.saes)),), 0.5e9, disk=1e6)


def figures(w: Workload) -> Cost:
    return Cost((Work(python=5.0 + 0.1 * len(w.saes)),), 0.26e9, disk=5e6)


def report(w: Workload) -> Cost:
    return Cost((Work(python=4.0),), BASE["torch"], disk=3e6)


COSTS = {function.__name__: function for function in (decomposition, results, claims, figures, report)}
