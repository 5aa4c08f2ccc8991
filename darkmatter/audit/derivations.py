"""Which results follow from which sums: a table, one row for each results file that can be derived again."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from darkmatter.estimates import Sums
from darkmatter.experiments import components_results, control_results, pursuit_estimates, random_features_estimates
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
DERIVATIONS: dict[str, Derivation] = {
    "components": Derivation(
        (components_results.STORED.as_posix(), components_results.STORED_DIMENSIONS.as_posix()),
        components_results.derive,
    ),
    "controls": Derivation(
        (control_results.STORED.as_posix(), control_results.STORED_DIMENSIONS.as_posix()), control_results.derive
    ),
    "pursuit": Derivation(
        (pursuit_estimates.STORED.as_posix(), pursuit_estimates.STORED_DIMENSIONS.as_posix()), pursuit_estimates.derive
    ),
    "random_features": Derivation((random_features_estimates.STORED.as_posix(),), random_features_estimates.derive),
}
