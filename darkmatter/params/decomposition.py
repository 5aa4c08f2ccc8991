"""Options of the decomposition: which rows fit, how the fit is cut off, and the bootstrap of every interval."""

from typing import Annotated

from pydantic import Field

from darkmatter.params.types import Section


class Bootstrap(Section):
    resamples: Annotated[int, Field(ge=100)]
    level: Annotated[float, Field(gt=0.5, lt=1)]
    seed: int


class Decomposition(Section):
    """`outlier_norm_ratio`: eval rows with more than so many median norms are left out; null keeps all."""

    fit_share: Annotated[float, Field(gt=0, lt=1)]
    folds: Annotated[int, Field(ge=2)]
    split_seed: int
    eigen_cutoff: Annotated[float, Field(gt=0, lt=1e-3)]
    outlier_norm_ratio: Annotated[float, Field(gt=1)] | None = None
    bootstrap: Bootstrap
