"""What the experiment is to everything else: see `Record`."""

from darkmatter.experiments.interpretability.costs import cost
from darkmatter.experiments.interpretability.results import STORED, derive
from darkmatter.experiments.registry import Record

RECORD = Record(
    name="interpretability",
    cost=cost,
    section="5.2",
    figures=("fig07_interpretability", "figX_surrogate"),
    committed=(STORED,),
    derive=derive,
    estimands=("error_sae_interpretability",),
)
