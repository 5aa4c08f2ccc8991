"""What it costs to predict norms from less than the activation."""

from darkmatter.costs.cost import Cost, Work, many
from darkmatter.costs.regressions import EIGEN, TABLE_COLUMNS, blocks
from darkmatter.costs.saes import BASE
from darkmatter.costs.workload import FLOAT64, Workload
from darkmatter.experiments.norm_baselines.results import measured


def cost(w: Workload) -> Cost:
    paths = {spec.path for spec in measured(w.params)}
    saes = [sae for sae in w.saes if sae.path in paths]
    if not saes:
        return Cost()
    probes = [
        Work(double=2.0 * w.rows * one.d_model**2 + 3 * EIGEN * float(one.d_model) ** 3, loads="torch") for one in saes
    ]
    python = 1.6 * len(saes) * w.rows / 82300
    widest = max(one.d_model for one in saes)
    memory = BASE["torch"] + FLOAT64 * (w.rows * 2 * TABLE_COLUMNS + blocks(w) * widest**2)
    return Cost((Work(python=python, loads="torch"), many(probes, "torch")), memory, disk=1e6)
