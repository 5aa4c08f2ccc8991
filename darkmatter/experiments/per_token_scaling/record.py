"""What the experiment is to everything else: see `Record`."""

from darkmatter.experiments.per_token_scaling.costs import cost
from darkmatter.experiments.per_token_scaling.results import STORED, derive
from darkmatter.experiments.registry import Record

ESTIMANDS = ("per_token_scaling", "per_token_part_slopes", "nonlinear_scaling_gain")
RECORD = Record(
    name="per_token_scaling",
    cost=cost,
    section="4.4",
    figures=("fig04_per_token_scaling", "fig05_tokens", "fig12_token_parts", "fig16_nonlinear_scaling"),
    committed=(STORED,),
    derive=derive,
    estimands=ESTIMANDS,
    seeded=ESTIMANDS,
)
