"""What it costs to predict errors token by token."""

from darkmatter.costs.cost import Cost, Work
from darkmatter.costs.regressions import TABLE_COLUMNS
from darkmatter.costs.saes import BASE
from darkmatter.costs.workload import FLOAT64, Workload


def cost(w: Workload) -> Cost:
    """Seven regressions on one or two numbers per token, from each SAE to the wider ones."""
    scaled = len([sae for sae in w.at(w.main) if sae.group in w.params.per_token_scaling.groups])
    if scaled < 2:
        return Cost()
    pairs = scaled * (scaled - 1) / 2
    columns = FLOAT64 * w.rows * (TABLE_COLUMNS * scaled)
    return Cost((Work(python=0.9 * pairs * w.rows / 82300, loads="torch"),), BASE["torch"] + columns, disk=1e6)
