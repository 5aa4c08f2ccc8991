"""What it costs to derive the lemmas."""

from darkmatter.costs.cost import Cost, Work
from darkmatter.costs.workload import Workload


def cost(w: Workload) -> Cost:
    own = w.params.lemmas
    return Cost((Work(python=2.5 + 0.4e-6 * own.rows * own.features),), 0.2e9, disk=1e5)
