"""What it costs to predict errors token by token."""

from darkmatter.costs.cost import Cost, Work
from darkmatter.costs.regressions import TABLE_COLUMNS
from darkmatter.costs.saes import BASE
from darkmatter.costs.workload import FLOAT64, Workload
from darkmatter.experiments.per_token_scaling.estimates import wider_saes
from darkmatter.experiments.per_token_scaling.results import compared, measured


def cost(w: Workload) -> Cost:
    """Fifteen regressions on one or two numbers per token, from each SAE to the wider ones."""
    if len(compared(w.params)) < 2:
        return Cost()
    saes = measured(w.params)
    pairs = sum(len(wider) for _, wider in wider_saes(saes))
    columns = FLOAT64 * w.rows * (TABLE_COLUMNS * len(saes))
    return Cost((Work(python=0.9 * pairs * w.rows / 82300, loads="torch"),), BASE["torch"] + columns, disk=1e6)
