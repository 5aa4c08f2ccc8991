"""What reports/PROFILE/results/random_features.json holds."""

from typing_extensions import TypedDict

from darkmatter.statistics.estimate import ByConvention, Estimate


class ParabolaParts(TypedDict):
    """Components of the claim."""

    curvature: Estimate
    vertex: Estimate


class Parabola(ParabolaParts):
    """The parabola through the curve, how well it and a line fit, and the share masked at the lowest point."""

    r2: Estimate
    line_r2: Estimate
    lowest: Estimate


class Masked(TypedDict):
    """Variance explained with a share of features masked, with and without the linear estimate of the error."""

    masked: float
    explained: Estimate
    explained_unmasked: Estimate


class Explained(TypedDict):
    """The curve and its parabola."""

    parabola: Parabola
    curve: list[Masked]


class Scored(TypedDict):
    """On held-out rows, as the paper has it, and on the fitted ones."""

    held_out: Explained
    in_sample: Explained


class Orders(TypedDict):
    """In which order features are masked."""

    random: Scored
    least_frequent_first: Scored


class RandomFeaturesEstimands(TypedDict):
    """What claims take."""

    random_feature_parabola: ParabolaParts


class IndependentRows(TypedDict):
    """Rows are independent: no split by context differs from that by token."""

    token: ByConvention[RandomFeaturesEstimands]


class RandomFeaturesContent(TypedDict):
    """Random features, some masked (appendix D), with the options that they were drawn by."""

    features: int
    d_model: int
    expected_l0: float
    power_law: float
    rows: int
    masked_shares: list[float]
    seeds: list[int]
    level: float
    l0: float
    orders: Orders
    estimands: RandomFeaturesEstimands
    estimands_by_variant: IndependentRows
