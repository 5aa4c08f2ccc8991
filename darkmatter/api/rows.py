"""The rows of a decomposition: activations, what an SAE is to make of them, the splits, and a sample for checks."""

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Bool, Float

from darkmatter.api.checks import check_enough, spread
from darkmatter.api.contexts import Activations, store
from darkmatter.api.grid import Grid
from darkmatter.api.masks import Mask, PaddingWatch, every_row, read_mask
from darkmatter.api.survey import Survey
from darkmatter.params.decomposition import Decomposition
from darkmatter.regression.splits import Splits
from darkmatter.storage.artifacts import ArtifactError


@dataclass(frozen=True)
class GivenRows:
    """Rows that are checked and split.

    Attributes:
        x: what the SAE reads.
        y: what it is to give: x itself, or a transcoder's targets.
        given: Sae(x), where it was given.
        kept: rows that take part, neither masked nor outliers.
        notes: what a reader of the numbers should know of the rows.
    """

    x: Grid
    y: Grid
    given: Grid | None
    kept: Bool[np.ndarray, "context position"]
    splits: Splits
    notes: list[str]

    @property
    def has_targets(self) -> bool:
        return self.y is not self.x

    @cached_property
    def sample(self) -> Float[np.ndarray, "row d_model"]:
        """Rows of x spread over all that are kept; `target_sample` has the same ones of y."""
        return self.of_sample(self.x)

    @cached_property
    def target_sample(self) -> Float[np.ndarray, "row d_out"]:
        return self.of_sample(self.y)

    def of_sample(self, grid: Grid) -> np.ndarray:
        return spread(grid.rows, self.x.of_rows(self.kept))


def read_rows(
    activations: Activations,
    targets: Activations | None,
    reconstructions: Activations | None,
    work: Path,
    settings: Decomposition,
    mask: Mask | None,
    contexts: int | None,
    **cut: Any,
) -> GivenRows:
    """Store the rows where they have to be copied, and check them.

    Args:
        work: folder of the copies.
        cut: how flat rows are cut into contexts, as `contexts.store` takes it.

    Raises:
        ArtifactError: rows that cannot be decomposed, or targets or reconstructions of other rows.
    """
    cut |= {"mask": read_mask(mask), "contexts": contexts}
    survey = Survey(None if every_row(mask) else PaddingWatch(masked=mask is not None))
    x = store(activations, work / "activations.npy", **cut, survey=survey)
    kept = survey.kept(settings.outlier_norm_ratio, x)
    notes = survey.notes(x, kept)
    splits = check_enough(*x.shape, settings, kept)
    y = x if targets is None else of_the_same_rows(store(targets, work / "targets.npy", "targets", **cut), x, "targets")
    given = None
    if reconstructions is not None:
        given = store(reconstructions, work / "reconstructions.npy", "reconstructions", **cut)
        of_the_same_rows(given, x, "reconstructions")
        if given.shape[2] != y.shape[2]:
            raise ArtifactError(
                f"reconstructions have {given.shape[2]} dimensions, {'targets' if targets is not None else 'x'} "
                f"{y.shape[2]}"
            )
    return GivenRows(x, y, given, kept, splits, notes)


def of_the_same_rows(grid: Grid, x: Grid, what: str) -> Grid:
    """The grid, once its rows stand where those of x do."""
    if grid.shape[:2] != x.shape[:2] or not np.array_equal(grid.present, x.present):
        raise ArtifactError(f"{what} are {described(grid)}, activations {described(x)}")
    return grid


def described(grid: Grid) -> str:
    """[context, position, d_model], and how many rows."""
    return f"{list(grid.shape)} with {len(grid.rows):,} rows"
