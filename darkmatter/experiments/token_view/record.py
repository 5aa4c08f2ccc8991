"""What the experiment is to everything else: see `Record`. The page colours its tokens; no number is its own."""

from darkmatter.experiments.registry import Record
from darkmatter.experiments.token_view.costs import cost

RECORD = Record(name="token_view", cost=cost, section="ours")
