"""What the experiment is to everything else: see `Record`."""

from darkmatter.experiments.lemmas.costs import cost
from darkmatter.experiments.lemmas.results import derive
from darkmatter.experiments.registry import Record

RECORD = Record(name="lemmas", cost=cost, section="C.1", derive=derive)
