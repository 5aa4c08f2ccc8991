"""What reports/PROFILE/results/architectures.json holds."""

from typing import NotRequired

from typing_extensions import TypedDict

from darkmatter.statistics.estimate import BySplit, Estimate


class ArchitectureNumbers(TypedDict):
    """Numbers over held-out rows, in the paper's convention.

    Attributes:
        fvu_linear: FVU less FVU_nonlinear, LinearError's share of the variance.
        vector_r2: R² of the error vector (Eq. 11), resampled to first order.
    """

    fvu: Estimate
    fvu_nonlinear: Estimate
    fvu_linear: Estimate
    vector_r2: Estimate


class ArchitectureSae(TypedDict):
    """One SAE.

    Attributes:
        variant: a training class of sae-lens, or `skip_RANK`.
        k: latents per token that it has, or was steered to.
        l0: of what is saved for inference, over all rows.
        l1_coefficient: that it was steered to; null where there is none.
    """

    name: str
    variant: str
    d_sae: int
    k: int
    seed: int
    train_tokens: int
    l0: float
    dead_latents: int
    l1_coefficient: float | None
    estimates: BySplit[ArchitectureNumbers]


class MatchedNumbers(TypedDict):
    """Numbers at the one L0, and what they lie above those of TopK by, on the same contexts."""

    numbers: ArchitectureNumbers
    above_topk: ArchitectureNumbers


class MatchedVariant(TypedDict):
    """One variant and size, mean over seeds; null with the reason where no two L0s lie around the one."""

    variant: str
    d_sae: int
    seeds: int
    estimates: BySplit[MatchedNumbers]


class OfVariant(Estimate):
    """An estimate of one variant and size, VARIANT-D_SAE."""

    sae: str


class RatioOfVariants(TypedDict):
    """A number over another one."""

    ratio: list[OfVariant]


class LeadOfVariants(TypedDict):
    """A number less that of TopK."""

    lead: list[OfVariant]


class PartsOfSkip(TypedDict):
    """LinearError and nonlinear error with a skip, over those of TopK without."""

    linear: list[OfVariant]
    nonlinear: list[OfVariant]


class ArchitectureEstimands(TypedDict):
    """What predictions take; those alone whose variants are trained."""

    architecture_fvu_nonlinear_ratio: NotRequired[RatioOfVariants]
    architecture_spread: NotRequired[RatioOfVariants]
    standard_vector_r2_lead: NotRequired[LeadOfVariants]
    pursuit_vector_r2_lead: NotRequired[LeadOfVariants]
    skip_8_left: NotRequired[PartsOfSkip]
    skip_64_left: NotRequired[PartsOfSkip]


class PaperAlone(TypedDict):
    """Under the paper's convention."""

    paper: ArchitectureEstimands


class ArchitecturesContent(TypedDict):
    """The training classes of sae-lens and TopK with a linear skip, at one L0."""

    hookpoint: str
    l0: int
    saes: list[ArchitectureSae]
    matched: list[MatchedVariant]
    estimands: ArchitectureEstimands
    estimands_by_variant: BySplit[PaperAlone]
