"""Which results follow from which sums: a table, one row for each results file that can be derived again."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from darkmatter.estimates import Sums
from darkmatter.params import Params

# (path → sums, the committed results, parameters) → the results that follow, under the same keys
Derive = Callable[[Mapping[str, Sums], dict[str, Any], Params], dict[str, Any]]


@dataclass(frozen=True)
class Derivation:
    """How a results file is made again.

    Attributes:
        sums: files that hold its sums. Those below `reports/` are committed. Those below `data/` come with `dvc pull`;
            where one is missing, `derive` is called without it and leaves out the numbers that need it.
        derive: the function; of the committed results it takes names and text, never a number that it returns.
    """

    sums: tuple[str, ...]
    derive: Derive

    @property
    def committed(self) -> tuple[str, ...]:
        return tuple(path for path in self.sums if path.startswith("reports/"))

    @property
    def pulled(self) -> tuple[str, ...]:
        return tuple(path for path in self.sums if not path.startswith("reports/"))


# Name of the file in reports/results, without .json → how it is derived.
DERIVATIONS: dict[str, Derivation] = {}
