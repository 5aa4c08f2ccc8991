"""What reports/PROFILE/results/latent_probe.json holds."""

from typing_extensions import TypedDict

from darkmatter.statistics.estimate import ByConvention, BySplit, Estimate, R2Estimates


class RatioAndRank(TypedDict):
    """Median of the probe over the average, and their rank correlation."""

    ratio: Estimate
    rank: Estimate


class Averages(TypedDict):
    """One of each average of a latent."""

    active: RatioAndRank
    mean: RatioAndRank
    second: RatioAndRank
    product: RatioAndRank


class LatentProbeEstimands(TypedDict):
    """What claims take."""

    probe_against_latents: RatioAndRank
    probe_against_products: RatioAndRank


class LatentCounts(TypedDict):
    """How many latents there are, and how many are compared."""

    all: int
    never_fired: int
    below_min_firings: int
    compared: int
    min_firings: int


class Windows(TypedDict):
    """Latents that each convention smooths over."""

    paper: int
    authors: int


class Curve(TypedDict):
    """What Fig. 14 draws, one item for each latent shown."""

    latent: list[int]
    firings: list[int]
    active: list[float]
    mean: list[float]
    second: list[float]
    product: list[float]
    probe_paper: list[float]
    probe_authors: list[float]
    smoothed_paper: list[float]
    smoothed_authors: list[float]
    windows: Windows


class LatentProbeContent(TypedDict):
    """The norm probe against averages of each latent (appendix C.2)."""

    sae: str
    rows: int
    contexts: int
    latents: LatentCounts
    probe_r2: R2Estimates
    against: BySplit[ByConvention[Averages]]
    curve: Curve
    estimands: LatentProbeEstimands
    estimands_by_variant: BySplit[ByConvention[LatentProbeEstimands]]
