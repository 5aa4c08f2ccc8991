"""What the experiment is to everything else: see `Record`."""

from darkmatter.experiments.error_saes.costs import cost
from darkmatter.experiments.error_saes.results import STORED, derive
from darkmatter.experiments.registry import Record

RECORD = Record(
    name="error_saes",
    cost=cost,
    section="5.2",
    figures=("sec52_error_saes",),
    committed=(STORED,),
    derive=derive,
    estimands=("error_sae_fvu",),
)
