"""What reports/PROFILE/results/decomposition/HOOKPOINT.json holds."""

from typing import NotRequired

from typing_extensions import TypedDict

from darkmatter.statistics.estimate import ByConvention, BySplit, Estimate


class NormTest(TypedDict):
    """R² of the squared norm of each vector from the activation (Eq. 10, appendix C.1)."""

    x: Estimate
    sae: Estimate
    error: Estimate
    linear: Estimate
    nonlinear: Estimate


class NormTestCrossFit(TypedDict):
    """As `NormTest`, with parts from maps that have not seen the context."""

    linear: Estimate
    nonlinear: Estimate


class SaeNumbers(TypedDict):
    """Every number of one SAE under one split and one convention."""

    norm_r2: Estimate
    vector_r2: Estimate
    fvu: Estimate
    fvu_nonlinear: Estimate
    fvu_per_dim: Estimate
    fvu_nonlinear_per_dim: Estimate
    norm_test: NormTest
    norm_test_cross_fit: NotRequired[NormTestCrossFit]
    norm_ratio: Estimate
    cos_linear_x: Estimate
    linear_norm_sq: Estimate
    nonlinear_norm_sq: Estimate


class Regression(TypedDict):
    """One fit of the linear map: its rows, its rank, and the condition number of its second moments."""

    fit_rows: int
    rank: int
    condition_number: float


class SaeFacts(TypedDict):
    """What an SAE is; `k` is null where none was aimed at, `train_tokens` 0 for a published one."""

    name: str
    group: str
    architecture: str
    d_sae: int
    k: int | None
    seed: int
    train_tokens: int


class DecomposedSae(SaeFacts):
    """One SAE with its numbers."""

    l0: float
    dead_latents: int
    estimates: BySplit[ByConvention[SaeNumbers]]


class DecompositionContent(TypedDict):
    """The decomposition at one hookpoint.

    Attributes:
        positions: first and last of each context.
        regressions: fit set → its fit.
            outlier_norm_ratio, dropped_rows: where outliers are left out: norms beyond which, and how many rows.
    """

    hookpoint: str
    model: str
    rows: int
    contexts: int
    d_model: int
    positions: list[int]
    outlier_norm_ratio: NotRequired[float]
    dropped_rows: NotRequired[int]
    regressions: dict[str, Regression]
    saes: list[DecomposedSae]
