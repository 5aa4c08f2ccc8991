"""What it costs to mask sums of random vectors."""

from darkmatter.costs.cost import Cost, Work, many
from darkmatter.costs.regressions import EIGEN
from darkmatter.costs.saes import BASE
from darkmatter.costs.workload import FLOAT64, Workload


def cost(w: Workload) -> Cost:
    p = w.params.random_features
    groups, d = float(len(p.masked_shares)), float(p.d_model)
    one = Work(
        double=2 * groups * p.rows * d * d + 2 * (EIGEN + 6 * groups) * d**3,
        traffic=FLOAT64 * 4 * groups * p.rows * d,
        python=20e-9 * p.features * d + 0.1e-6 * p.expected_l0 * p.rows + 0.5,
    )
    memory = BASE["torch"] + 4 * p.features * d + 16 * groups * d**2 + 4096 * d * (groups + 6) + 48 * d**2
    units = many([one] * (2 * len(p.seeds)), "torch")
    return Cost((units,), memory, disk=1e6)
