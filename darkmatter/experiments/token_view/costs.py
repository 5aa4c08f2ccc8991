"""What it costs to take a few contexts."""

from darkmatter.costs.cost import Cost, Work
from darkmatter.costs.saes import BASE
from darkmatter.costs.workload import Workload


def cost(w: Workload) -> Cost:
    return Cost((Work(python=3.0),), BASE["torch"], disk=1e6)
