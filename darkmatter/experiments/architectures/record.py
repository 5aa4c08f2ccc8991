"""What the experiment is to everything else: see `Record`."""

from darkmatter.experiments.architectures.costs import cost
from darkmatter.experiments.architectures.estimands import NAMES
from darkmatter.experiments.architectures.names import STORED
from darkmatter.experiments.architectures.results import derive
from darkmatter.experiments.registry import Record

RECORD = Record(
    name="architectures",
    cost=cost,
    section="ours",
    figures=("figX_architectures",),
    committed=(STORED,),
    derive=derive,
    seeded=NAMES,  # nothing was predicted of them without the seed's noise
)
