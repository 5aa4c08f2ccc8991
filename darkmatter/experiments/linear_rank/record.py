"""What the experiment is to everything else: see `Record`."""

from darkmatter.experiments.linear_rank.costs import cost
from darkmatter.experiments.linear_rank.results import STORED, derive
from darkmatter.experiments.registry import Record

RECORD = Record(
    name="linear_rank",
    cost=cost,
    section="ours",
    figures=("figX_linear_rank",),
    committed=(STORED,),
    derive=derive,
    estimands=(
        "linear_error_share",
        "linear_error_rank",
        "linear_error_rank_slopes",
        "linear_error_share_of_layers",
        "linear_error_in_components",
        "cross_entropy_at_rank",
    ),
)
