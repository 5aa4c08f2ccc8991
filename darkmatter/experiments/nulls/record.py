"""What the experiment is to everything else: see `Record`."""

from darkmatter.experiments.nulls.costs import cost
from darkmatter.experiments.nulls.estimands import WANTED
from darkmatter.experiments.nulls.names import STORED
from darkmatter.experiments.nulls.results import derive
from darkmatter.experiments.registry import Record

RECORD = Record(
    name="nulls",
    cost=cost,
    section="ours",
    figures=("figX_nulls",),
    committed=(STORED,),
    derive=derive,
    estimands=tuple(WANTED),
)
