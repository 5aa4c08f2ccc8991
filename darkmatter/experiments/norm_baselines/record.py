"""What the experiment is to everything else: see `Record`."""

from darkmatter.experiments.norm_baselines.costs import cost
from darkmatter.experiments.norm_baselines.results import STORED, derive
from darkmatter.experiments.registry import Record

RECORD = Record(
    name="norm_baselines",
    cost=cost,
    section="A.3",
    figures=("fig13_baselines",),
    committed=(STORED,),
    derive=derive,
    estimands=("norm_baseline_differences", "norm_baseline_order"),
    seeded=("norm_baseline_order",),
)
