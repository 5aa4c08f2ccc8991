"""What estimands are made from: results, per-context sums, and the profile's choice of hookpoints and groups.

Every number comes from the committed sums, means over dimensions too (`statistics.per_dimension`).
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from darkmatter.ledger.estimands.quantities import Formula
from darkmatter.params import conventions
from darkmatter.params.conventions import CONVENTIONS
from darkmatter.params.schema import Params
from darkmatter.regression.splits import SPLITS
from darkmatter.results.load import NotDrawn, Results, Sae, one_per_cell
from darkmatter.statistics.bootstrap import each_once
from darkmatter.statistics.held_out_numbers import HeldOutNumber, OpenSums
from darkmatter.statistics.sae_estimates import dimension_estimates, scalar_estimates
from darkmatter.statistics.seed_noise import NO_SEEDS, SeedNoise, seed_groups
from darkmatter.storage.artifacts import ArtifactError, read_arrays

POOLED, PER_DIMENSION = "pooled", "per-dimension"
MET = "met"  # rows whose token is among those fitted
EVERY_RUNG, TOP_RUNG = "every-rung", "top-rung"  # of the budgets of tokens that SAEs were trained on
OF_VARIANCE = ("fvu", "fvu_nonlinear")  # what may be pooled over dimensions or averaged over them


class Missing(Exception):  # noqa: N818 - no error: a profile may well lack what an estimand needs
    """This profile has not what an estimand is made from; the message says what."""


@dataclass(frozen=True)
class Variant:
    """One way to compute: a split of the rows, and the paper's conventions or those of the published code.

    Attributes:
        fvu: how FVU and FVU_nonlinear go over dimensions: pooled, or the mean of that of each dimension.
        rows: on which token identity is scored: those whose token a fit has met, or all that are held out.
        rungs: whether several budgets of tokens are extrapolated, or the SAEs of the most tokens stand alone.
    """

    split: str
    convention: str
    fvu: str = POOLED
    rows: str = MET
    rungs: str = EVERY_RUNG

    def __str__(self) -> str:
        beyond = [part for part in (self.fvu, self.rows, self.rungs) if part not in (POOLED, MET, EVERY_RUNG)]
        return "/".join((self.split, self.convention, *beyond))


PRIMARY = Variant(*conventions.PRIMARY)
VARIANTS = tuple(Variant(split, way) for split in SPLITS for way in CONVENTIONS)  # the primary one first
BY_DIMENSION = Variant(*conventions.PRIMARY, PER_DIMENSION)
EVERY_ROW = Variant(*conventions.PRIMARY, rows=conventions.ALL_ROWS)
ON_TOP_RUNG = Variant(*conventions.PRIMARY, rungs=TOP_RUNG)
OF_CONVENTION = {"fvu": BY_DIMENSION, "unmet_tokens": EVERY_ROW}  # variants of the claims that list that convention
OF_ESTIMAND = {"extrapolated_asymptote_minus_nonlinear": ON_TOP_RUNG}  # of the claims that it judges


@dataclass(frozen=True)
class Point:
    """One SAE at one hookpoint."""

    hookpoint: str
    sae: Sae

    @property
    def path(self) -> str:
        return f"{self.hookpoint}/{self.sae['name']}"

    @property
    def layer(self) -> int:
        return int(self.hookpoint.rsplit(".", 1)[1])


@dataclass(frozen=True)
class Evidence:
    """All that the claims of one profile are judged on.

    Attributes:
        results: of the decomposition, and of the stages that have any.
        sums: folder of HOOKPOINT.npz, the committed sums.
        layers: of the model.
        pursuit_sums: of gradient pursuit; None where the profile has none.
        manifests: model of the paper → the list of its published SAEs; None where one is not here.
        null_sums: those of SAEs that learned nothing; None where the profile has none.
        components_sums: of section 6.2; None where the profile has none.
    """

    params: Params
    results: Results
    sums: Path
    layers: int
    pursuit_sums: Path | None = None
    manifests: dict[str, Any] | None = None
    null_sums: Path | None = None
    components_sums: Path | None = None
    opened: dict[Any, Any] = field(default_factory=dict, compare=False)  # files and formulas, each once

    def residual_saes(self) -> list[Point]:
        """Every SAE of the residual stream, layer by layer.

        Raises:
            Missing: there is none.
        """
        points = [
            Point(hookpoint, sae)
            for hookpoint in self.results.decomposition
            if hookpoint.startswith("resid_post.")
            for sae in self.results.saes(hookpoint)
        ]
        if not points:
            raise Missing("no SAE of the residual stream")
        return sorted(points, key=lambda point: point.layer)  # stable: as Results.saes orders them

    def main_grid(self) -> list[Point]:
        """The SAEs of Fig. 2."""
        return self.grid(self.params.figures.main_hookpoint, self.params.figures.grid_groups)

    def appendix_grids(self) -> dict[str, list[Point]]:
        """The SAEs of Figs. 10 and 11, by hookpoint.

        Raises:
            Missing: no hookpoint is theirs.
        """
        hookpoints = self.params.figures.appendix_hookpoints
        if not hookpoints:
            raise Missing("figures.appendix_hookpoints names none")
        return {hookpoint: self.grid(hookpoint, None) for hookpoint in hookpoints}

    def all_grids(self) -> list[Point]:
        """The SAEs of Figs. 2, 10 and 11."""
        grids = self.appendix_grids() if self.params.figures.appendix_hookpoints else {}
        return [*self.main_grid(), *(point for grid in grids.values() for point in grid)]

    def grid(self, hookpoint: str, groups: list[str] | None) -> list[Point]:
        try:
            saes, _ = one_per_cell(self.results.saes(hookpoint, groups))
        except NotDrawn as missing:
            raise Missing(str(missing)) from None
        return [Point(hookpoint, sae) for sae in saes]

    def formula(self, point: Point, variant: Variant, *path: str) -> Formula:
        """A number of one SAE, such as `formula(point, variant, "norm_test", "x")`."""
        seeds = self.once(("seeds", variant, path), lambda: self.seed_noise(variant, *path))
        return Formula.of(self.number(point, variant, *path), seeds, point.path)

    def vector_r2(self, point: Point, variant: Variant) -> Formula:
        """R² of the error vector (Eq. 11), mean over dimensions."""
        return self.formula(point, variant, "vector_r2")

    def number(self, point: Point, variant: Variant, *path: str) -> HeldOutNumber:
        """As `formula`, without what is known of its seed."""
        result = self.once(("numbers", point.path, variant), lambda: self.numbers_of(point, variant))
        if variant.fvu == PER_DIMENSION and path[0] in OF_VARIANCE:
            return result[f"{path[0]}_per_dim"]
        for key in path:
            result = result[key]
        return result

    def seed_noise(self, variant: Variant, *path: str) -> SeedNoise | str:
        """How a number differs between SAEs that differ in their seed alone; why that is not known."""

        def value(point: Point) -> float:
            number = self.number(point, variant, *path)
            return float(number.statistic(each_once(len(number.view.used)))[0])

        groups = [[value(point) for point in group] for group in self.other_seeds]
        return SeedNoise.of(groups) if groups else NO_SEEDS

    @cached_property
    def other_seeds(self) -> list[list[Point]]:
        """SAEs that differ in their seed alone, group by group."""
        return [
            [Point(hookpoint, sae) for sae in group]
            for hookpoint in self.results.decomposition
            for group in seed_groups(self.results.saes(hookpoint), lambda sae, key: sae[key])
        ]

    def numbers_of(self, point: Point, variant: Variant) -> dict[str, Any]:
        """All that is known of one SAE: name → `HeldOutNumber`, or names of a group of them."""
        hookpoint, arrays = self.hookpoint_sums(point.hookpoint)
        prefix = f"{point.sae['name']}/"
        own = {key.removeprefix(prefix): array for key, array in arrays.items() if key.startswith(prefix)}
        if not own:
            raise ArtifactError(
                f"{self.sums / point.hookpoint}.npz has no sums of {point.sae['name']}. Run `dvc repro -f results`."
            )
        of_dimensions = dimension_estimates(hookpoint, own, variant.split, variant.convention)
        return scalar_estimates(hookpoint, own, variant.split, variant.convention) | of_dimensions

    def sums_of(self, hookpoint: str) -> Mapping[str, np.ndarray]:
        """The committed sums of a hookpoint."""
        return read_arrays(self.sums / f"{hookpoint}.npz")

    def hookpoint_sums(self, hookpoint: str) -> tuple[OpenSums, Mapping[str, np.ndarray]]:
        def load() -> tuple[OpenSums, Mapping[str, np.ndarray]]:
            arrays = self.sums_of(hookpoint)
            fits = self.results.decomposition[hookpoint]["regressions"]
            rank = {name: int(fit["rank"]) for name, fit in fits.items()}
            bootstrap = self.params.decomposition.bootstrap.model_dump()
            return OpenSums(arrays["rows"], arrays["square"], arrays["cross"], rank, bootstrap), arrays

        return self.once(("hookpoint", hookpoint), load)

    def once(self, key: Any, make: Callable[[], Any]) -> Any:
        if key not in self.opened:
            self.opened[key] = make()
        return self.opened[key]
