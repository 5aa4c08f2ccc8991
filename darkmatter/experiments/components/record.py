"""What the experiment is to everything else: see `Record`."""

from darkmatter.experiments.components.costs import cost
from darkmatter.experiments.components.results import STORED, derive
from darkmatter.experiments.registry import Record

ESTIMANDS = ("components_explain_error", "components_explain_nonlinear", "sae_explains_nonlinear")
RECORD = Record(
    name="components",
    cost=cost,
    section="6.2",
    figures=("fig09b_components",),
    committed=(STORED,),
    derive=derive,
    estimands=ESTIMANDS,
    seeded=ESTIMANDS,
)
