"""What the experiment is to everything else: see `Record`."""

from darkmatter.experiments.registry import Record
from darkmatter.experiments.synthetic_noise.costs import cost
from darkmatter.experiments.synthetic_noise.results import STORED, derive

RECORD = Record(
    name="synthetic_noise",
    cost=cost,
    section="B.2 and C.3",
    figures=("fig15_synthetic", "tab1_correlations"),
    committed=(STORED,),
    derive=derive,
    estimands=(
        "synthetic_correlations",
        "synthetic_lines",
        "synthetic_line_fits",
        "synthetic_flatness",
        "nonlinear_over_introduced",
        "nonlinear_above_introduced",
        "dense_over_planted",
    ),
    seeded=("synthetic_flatness",),
)
