"""What the experiment is to everything else: see `Record`."""

from darkmatter.experiments.pursuit.costs import cost
from darkmatter.experiments.pursuit.results import STORED, derive
from darkmatter.experiments.registry import Record

ESTIMANDS = ("pursuit_fvu_decrease", "pursuit_nonlinear_change")
RECORD = Record(
    name="pursuit",
    cost=cost,
    section="6.1",
    figures=("fig01_breakdown", "fig09a_pursuit"),
    committed=(STORED,),
    derive=derive,
    estimands=ESTIMANDS,
    seeded=ESTIMANDS,
)
