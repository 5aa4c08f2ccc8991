"""What the experiment is to everything else: see `Record`. The page colours its tokens; no number is its own."""

from darkmatter.experiments.registry import Record

RECORD = Record(name="token_view", section="ours")
