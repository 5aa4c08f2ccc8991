"""What the experiment is to everything else: see `Record`."""

from darkmatter.experiments.downstream.costs import cost
from darkmatter.experiments.downstream.results import STORED, derive
from darkmatter.experiments.registry import Record

RECORD = Record(
    name="downstream",
    cost=cost,
    section="5.3",
    figures=("fig08_downstream",),
    committed=(STORED,),
    derive=derive,
    estimands=("cross_entropy_ratio",),
)
