"""What reports/PROFILE/results/per_token_scaling.json holds."""

from typing_extensions import TypedDict

from darkmatter.statistics.estimate import ByConvention, BySplit, Estimate


class Eq13(ByConvention[Estimate]):
    """Eq. 13 of both conventions, and as it is printed, without intercept."""

    through_origin: Estimate


class Gain(TypedDict):
    """R² of Eq. 23, and by how much its FVU lies below that of Eq. 13."""

    r2: Estimate
    decrease: Estimate
    absolute: Estimate


class Eq23(ByConvention[Gain]):
    """Eq. 23 in each way; `cross_fit`: with parts from maps that have not seen the context."""

    through_origin: Gain
    cross_fit: Gain


class PairOfSaes(TypedDict):
    """One SAE's norms predict the error norm of a wider one."""

    sae_1: str
    sae_2: str
    d_sae_1: int
    d_sae_2: int
    estimates: BySplit[Eq13]
    nonlinear: BySplit[Eq23]


class OfPair(Estimate):
    """R² of one pair of SAEs."""

    pair: str


class ScalingOfPair(TypedDict):
    """R² of each pair, and its slope per doubling between them."""

    distance: Estimate
    r2: list[OfPair]


class ScalingGain(TypedDict):
    """The largest gain by Eq. 23, and beyond that of each control."""

    largest: Estimate
    over_linear: Estimate
    over_shuffled: Estimate


class PartSlopes(TypedDict):
    """Slope of each part's norm per doubling of width, and the share of tokens whose linear part changes more."""

    linear: Estimate
    nonlinear: Estimate
    tokens: Estimate


class PerTokenScalingEstimands(TypedDict):
    """What claims take."""

    per_token_scaling: ScalingOfPair
    nonlinear_scaling_gain: ScalingGain
    per_token_part_slopes: PartSlopes


class SaeOfTokens(TypedDict):
    """Squared norms of the tokens shown."""

    name: str
    d_sae: int
    error_sq: list[float]
    linear_sq: list[float]
    nonlinear_sq: list[float]


class ShownTokens(TypedDict):
    """The tokens shown; SAE → mean over all tokens of each part's squared norm."""

    context: int
    positions: list[int]
    token_ids: list[int]
    text: list[str]
    saes: list[SaeOfTokens]
    mean_linear_sq: dict[str, float]
    mean_nonlinear_sq: dict[str, float]


class PerTokenScalingContent(TypedDict):
    """How one SAE's error norms predict those of wider ones (section 4.3, appendix E)."""

    hookpoint: str
    pairs: list[PairOfSaes]
    tokens: ShownTokens
    estimands: PerTokenScalingEstimands
    estimands_by_variant: BySplit[ByConvention[PerTokenScalingEstimands]]
