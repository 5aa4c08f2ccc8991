"""What reports/PROFILE/results/pursuit.json holds."""

from typing import Literal

from typing_extensions import TypedDict

from darkmatter.decomposition.schema import Regression, SaeFacts, SaeNumbers
from darkmatter.statistics.estimate import ByConvention, BySplit, Estimate


class Changes(TypedDict):
    """What pursuit changes: of FVU, of FVU_nonlinear, and the second's share of the first; relative and absolute."""

    decrease: Estimate
    absolute_decrease: Estimate
    change: Estimate
    absolute_change: Estimate
    share: Estimate


class Encoded(TypedDict):
    """One SAE with one encoder."""

    estimates: BySplit[ByConvention[SaeNumbers]]
    l0: float
    dead_latents: int


class Pursued(Encoded):
    """One SAE with gradient pursuit."""

    compared: BySplit[ByConvention[Changes]]
    share_of_tokens_below_l0: float


class PursuitVariants(TypedDict):
    """Both variants of gradient pursuit."""

    exact_l0: Pursued
    published: Pursued


class VariantTexts(TypedDict):
    """What each variant is."""

    exact_l0: str
    published: str


class PursuedSae(SaeFacts):
    """One SAE with its own encoder and with pursuit, on the same rows."""

    encoder: Encoded
    pursuit: PursuitVariants


class ChangeOfSae(Estimate):
    """A number of one SAE."""

    sae: str


class FvuDecrease(TypedDict):
    """By how much FVU falls, of each SAE."""

    decrease: list[ChangeOfSae]
    absolute_decrease: list[ChangeOfSae]


class NonlinearChange(TypedDict):
    """How FVU_nonlinear changes, of each SAE."""

    change: list[ChangeOfSae]
    share: list[ChangeOfSae]


class PursuitEstimands(TypedDict):
    """What claims take."""

    pursuit_fvu_decrease: FvuDecrease
    pursuit_nonlinear_change: NonlinearChange


class PursuitContent(TypedDict):
    """The error with a better encoder (section 6.1); claims are judged on the variant `claimed`."""

    hookpoint: str
    contexts: int
    rows: int
    claimed: Literal["exact_l0", "published"]
    variants: VariantTexts
    regressions: dict[str, Regression]
    saes: list[PursuedSae]
    estimands: PursuitEstimands
    estimands_by_variant: BySplit[ByConvention[PursuitEstimands]]
