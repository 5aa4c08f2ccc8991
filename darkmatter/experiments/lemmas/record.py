"""What the experiment is to everything else: see `Record`."""

from darkmatter.experiments.lemmas.results import derive
from darkmatter.experiments.registry import Record

RECORD = Record(name="lemmas", section="C.1", derive=derive)
