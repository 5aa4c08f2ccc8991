"""What it costs to predict errors token by token."""

from darkmatter.costs.cost import Cost, Work
from darkmatter.costs.regressions import TABLE_COLUMNS
from darkmatter.costs.saes import BASE
from darkmatter.costs.workload import FLOAT64, Workload
from darkmatter.experiments.per_token_scaling.estimates import wider_saes
from darkmatter.experiments.per_token_scaling.results import measured


def cost(w: Workload) -> Cost:
    """Fifteen regressions on one or two numbers per token, from each SAE to the wider ones."""
    planned = {sae.path for sae in w.at(w.main)}
    saes = [sae for sae in measured(w.params) if f"{w.main}/{sae['name']}" in planned]
    pairs = sum(len(wider) for _, wider in wider_saes(saes))
    if not pairs:
        return Cost()
    columns = FLOAT64 * w.rows * (TABLE_COLUMNS * len(saes))
    return Cost((Work(python=0.9 * pairs * w.rows / 82300, loads="torch"),), BASE["torch"] + columns, disk=1e6)
