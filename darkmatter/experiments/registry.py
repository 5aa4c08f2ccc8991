"""Every experiment of the paper, each by the record in its own folder, `experiments/NAME/record.py`.

Audit, ledger, report and planning read the records here, so that nothing outside of its folder lists an experiment.
Records are imported by name: in dvc.yaml, a stage that asks for them depends on this whole package. They need no torch.
"""

import functools
import importlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from darkmatter.storage.paths import reports_of

if TYPE_CHECKING:
    from darkmatter.costs.cost import Cost
    from darkmatter.costs.workload import Workload
    from darkmatter.params.schema import Params
    from darkmatter.statistics.sae_estimates import Sums

# (name of a file of sums → its content, the committed results, parameters) → the results that follow, same keys
Derive = Callable[[Mapping[str, "Sums"], dict[str, Any], "Params"], dict[str, Any]]


@dataclass(frozen=True)
class Record:
    """What one experiment is to everything else.

    Attributes:
        name: of its folder, its stage, and its results file.
        cost: what its stage costs.
        section: of the paper, or "ours"; its figures say the same.
        figures: modules of `darkmatter.figures` that show its results.
        committed: names of the files that hold its sums, beside its results.
        derive: makes the results file again from its sums; of the committed results it takes names and text, never a
            number that it returns. None where the results are no numbers of its own.
        estimands: what claims may take from `estimands` of its results.
        seeded: those of them that say what another training seed does (`of_seed`) where there are SAEs to measure it;
            claims may take them as NAME_with_seed, too.
        no_sae: whether no SAE is in its numbers.
    """

    name: str
    cost: Callable[["Workload"], "Cost"]
    section: str
    figures: tuple[str, ...] = ()
    committed: tuple[str, ...] = ()
    derive: Derive | None = None
    estimands: tuple[str, ...] = ()
    seeded: tuple[str, ...] = ()
    no_sae: bool = False

    @property
    def offered(self) -> dict[str, tuple[str, bool]]:
        """What claims may take → its name in the results, and whether its intervals hold the training seed."""
        with_seed = {f"{name}_with_seed": (name, True) for name in self.seeded}
        return {name: (name, False) for name in self.estimands} | with_seed

    def results(self, profile: str) -> Path:
        return reports_of(profile).results / f"{self.name}.json"

    def sums(self, profile: str) -> dict[str, Path]:
        """Name, as `derive` takes it for a key → the file of a profile."""
        return {name: reports_of(profile).results / name for name in self.committed}


@functools.cache
def records() -> dict[str, Record]:
    """Name → record, in the order of the alphabet."""
    names = sorted(path.parent.name for path in Path(__file__).parent.glob("*/record.py"))
    modules = [importlib.import_module(f"darkmatter.experiments.{name}.record") for name in names]
    return {module.RECORD.name: module.RECORD for module in modules}


def drawn() -> list[str]:
    """The experiments whose results a figure shows."""
    return [name for name, record in records().items() if record.figures]
