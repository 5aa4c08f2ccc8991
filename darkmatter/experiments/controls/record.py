"""What the experiment is to everything else: see `Record`."""

from darkmatter.experiments.controls.costs import cost
from darkmatter.experiments.controls.results import STORED, derive
from darkmatter.experiments.registry import Record

RECORD = Record(
    name="controls",
    cost=cost,
    section="ours",
    figures=("fig06_norm_test", "tabX_controls"),
    committed=(STORED,),
    derive=derive,
)
