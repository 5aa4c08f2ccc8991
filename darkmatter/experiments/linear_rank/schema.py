"""What reports/PROFILE/results/linear_rank.json holds."""

from typing_extensions import TypedDict

from darkmatter.statistics.estimate import BySplit, Estimate


class RankPoint(TypedDict):
    """One rank: the share of LinearError that it holds, and the FVU that it leaves."""

    rank: int
    share: Estimate
    fvu: Estimate


class RankNumbers(TypedDict):
    """LinearError of one SAE under one split.

    Attributes:
        r50, r90: ranks that hold half and nine tenths of it.
        in_components: its share within the span of the first 24 principal components of x.
        in_dense: its share within the span of the decoders of the dense latents.
    """

    r50: Estimate
    r90: Estimate
    curve: list[RankPoint]
    in_components: Estimate
    in_dense: Estimate


class Angles(TypedDict):
    """Principal angles between the first 24 directions of LinearError and another subspace, largest cosine first.

    Attributes:
        dimensions: of the other subspace.
        mean_square: mean of cos²; null where the other subspace is empty.
        chance: mean cos² of uniformly random subspaces of the same dimensions.
    """

    dimensions: int
    cosines: list[float]
    mean_square: float | None
    chance: float | None


class Subspaces(TypedDict):
    """The first 24 principal components of x, the decoders of the dense latents, those of as many others."""

    components: Angles
    dense: Angles
    others: Angles


class RankedSae(TypedDict):
    """One SAE with its numbers; a latent that fires on more than a tenth of the rows is dense."""

    hookpoint: str
    name: str
    group: str
    architecture: str
    d_sae: int
    k: int | None
    seed: int
    l0: float
    dense_latents: int
    estimates: BySplit[RankNumbers]
    angles: Subspaces


class SplicedRank(TypedDict):
    """What LinearError of one rank wins back of the cross-entropy, as a share.

    Attributes:
        of_clean: of what Sae(x) costs; `of_linear`: of what the whole of LinearError wins back.
    """

    rank: int
    of_clean: Estimate
    of_linear: Estimate


class SplicedSae(TypedDict):
    """The splices of one SAE."""

    sae: str
    contexts: int
    rows: int
    curve: list[SplicedRank]


class OfSae(Estimate):
    """An estimate of one SAE."""

    sae: str


class OfLayer(Estimate):
    """An estimate of one layer's SAE."""

    layer: int


class SharesOfSaes(TypedDict):
    """Share of LinearError at rank 24."""

    share_24: list[OfSae]


class RankShares(TypedDict):
    """Ranks as shares of d_model."""

    r50: list[OfSae]
    r90: list[OfSae]


class RankSlopes(TypedDict):
    """Slopes of r50/d_model on log2 of the width, and of L0."""

    width: Estimate
    l0: Estimate


class SharesOfLayers(TypedDict):
    """Share of LinearError at rank 24."""

    share_24: list[OfLayer]


class SharesInComponents(TypedDict):
    """Share of LinearError within the first 24 principal components of x."""

    share: list[OfSae]


class RatiosOfSaes(TypedDict):
    """Cross-entropy recovered at rank 24 over that of the whole LinearError."""

    ratio_24: list[OfSae]


class LinearRankEstimands(TypedDict):
    """What predictions take."""

    linear_error_share: SharesOfSaes
    linear_error_rank: RankShares
    linear_error_rank_slopes: RankSlopes
    linear_error_share_of_layers: SharesOfLayers
    linear_error_in_components: SharesInComponents
    cross_entropy_at_rank: RatiosOfSaes


class PaperConvention(TypedDict):
    """With intercepts, as the paper has it: the ranks of the map through the origin are not computed."""

    paper: LinearRankEstimands


class LinearRankContent(TypedDict):
    """What rank LinearError has."""

    hookpoint: str
    d_model: int
    saes: list[RankedSae]
    cross_entropy: list[SplicedSae]
    estimands: LinearRankEstimands
    estimands_by_variant: BySplit[PaperConvention]
