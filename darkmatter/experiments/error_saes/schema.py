"""What reports/PROFILE/results/error_saes.json holds."""

from typing import Literal

from typing_extensions import TypedDict

from darkmatter.decomposition.schema import Regression
from darkmatter.statistics.estimate import Estimate


class TrainingPoint(TypedDict):
    """Training after so many tokens."""

    tokens: int
    fvu: float
    dead_share: float
    learning_rate: float


class ErrorSae(TypedDict):
    """One SAE of one part, from one seed, and how its training went."""

    part: Literal["linear", "nonlinear"]
    seed: int
    d_sae: int
    k: int
    l0: float
    dead_latents: int
    dropped_outliers: int
    tokens: int
    train_fvu: float
    curve: list[TrainingPoint]
    fvu: Estimate
    fvu_per_dim: Estimate


class OverSeeds(TypedDict):
    """Means over seeds of both parts, and nonlinear minus linear."""

    linear: Estimate
    nonlinear: Estimate
    difference: Estimate


class Measures(TypedDict):
    """FVU pooled, and averaged over dimensions."""

    fvu: OverSeeds
    fvu_per_dim: OverSeeds


class ErrorSaesEstimands(TypedDict):
    """What claims take."""

    error_sae_fvu: OverSeeds


class ExplainedSae(TypedDict):
    """The SAE whose error the parts are of."""

    name: str
    architecture: str
    d_sae: int
    k: int | None


class ErrorSaesContent(TypedDict):
    """SAEs trained on the parts of an error (section 5.2)."""

    hookpoint: str
    sae: ExplainedSae
    train_tokens: int
    linear_map: Regression
    norm_ratio: Estimate
    saes: list[ErrorSae]
    over_seeds: Measures
    estimands: ErrorSaesEstimands
