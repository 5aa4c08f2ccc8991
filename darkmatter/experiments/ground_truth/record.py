"""What the experiment is to everything else: see `Record`."""

from darkmatter.experiments.ground_truth.costs import cost
from darkmatter.experiments.ground_truth.estimands import WANTED
from darkmatter.experiments.ground_truth.names import STORED
from darkmatter.experiments.ground_truth.results import derive
from darkmatter.experiments.registry import Record

RECORD = Record(
    name="ground_truth",
    cost=cost,
    section="ours",
    figures=("figX_ground_truth",),
    committed=(STORED,),
    derive=derive,
    estimands=WANTED,
)
