"""What reports/PROFILE/results/nulls.json holds."""

from typing import Literal, NotRequired

from typing_extensions import TypedDict

from darkmatter.decomposition.schema import NormTest, SaeFacts
from darkmatter.statistics.estimate import ByConvention, BySplit, Estimate


class NullNumbers(TypedDict):
    """Numbers of one SAE under one split and one convention, as the decomposition has them."""

    norm_r2: Estimate
    vector_r2: Estimate
    fvu: Estimate
    fvu_nonlinear: Estimate
    norm_test: NormTest
    norm_ratio: Estimate
    cos_linear_x: Estimate


class NullSae(SaeFacts):
    """One SAE with its numbers; its name is that of the trained one that it is held against."""

    l0: float
    dead_latents: int
    estimates: BySplit[ByConvention[NullNumbers]]


class SaesOfNull(TypedDict):
    """The SAEs under one null; `trained` are those that nulls are held against."""

    null: Literal["trained", "frozen_decoder", "random_model", "gaussian"]
    saes: list[NullSae]


class OfWidth(Estimate):
    """An estimate of the SAE of one width."""

    sae: str


class Leads(TypedDict):
    """A number under a null minus that of the trained SAE."""

    lead: list[OfWidth]


class Ratios(TypedDict):
    """A number under a null over that of the trained SAE."""

    ratio: list[OfWidth]


class R2OfWidths(TypedDict):
    """R² under a null."""

    r2: list[OfWidth]


class FrozenDecoderR2(TypedDict):
    """R² of the error vector; R² of the error norm minus that of the trained SAE."""

    vector_r2: list[OfWidth]
    norm_r2_lead: list[OfWidth]


class NullEstimands(TypedDict):
    """What predictions take; nothing where the experiment is off."""

    gaussian_fvu_lead: NotRequired[Leads]
    gaussian_vector_r2_lead: NotRequired[Leads]
    gaussian_fvu_nonlinear_ratio: NotRequired[Ratios]
    gaussian_norm_r2: NotRequired[R2OfWidths]
    frozen_decoder_r2: NotRequired[FrozenDecoderR2]
    random_model_vector_r2: NotRequired[R2OfWidths]


class NullsContent(TypedDict):
    """What SAEs that learned nothing come to."""

    hookpoint: str
    nulls: list[SaesOfNull]
    estimands: NullEstimands
    estimands_by_variant: BySplit[ByConvention[NullEstimands]]
