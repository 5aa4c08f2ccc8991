"""What the experiment is to everything else: see `Record`."""

from darkmatter.experiments.random_features.costs import cost
from darkmatter.experiments.random_features.results import STORED, derive
from darkmatter.experiments.registry import Record

RECORD = Record(
    name="random_features",
    cost=cost,
    section="D",
    figures=("figD_random_features",),
    committed=(STORED,),
    derive=derive,
    estimands=("random_feature_parabola",),
    no_sae=True,
)
