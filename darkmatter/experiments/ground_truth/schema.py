"""What reports/PROFILE/results/ground_truth.json holds."""

from typing import NotRequired

from typing_extensions import TypedDict

from darkmatter.experiments.ground_truth.params import Architecture
from darkmatter.statistics.estimate import Estimate


class DrawnWorld(TypedDict):
    """How rows were drawn: the section `world` of the parameters."""

    d_model: int
    features: int
    zipf_exponent: float
    most_often: float
    least_often: float
    roots: int
    children: int
    correlation_rank: int
    correlation_scale: float
    magnitude: float
    magnitude_deviation: float
    dense_share: float
    dense_rank: int
    seed: int


class PartNumbers(TypedDict):
    """One part of SaeError.

    `size`: its squares over those of x. `linearity`: the share of them that a linear map of x predicts. `of_…`: what it
    makes up of SaeError, LinearError, NonlinearError; the three parts have the sum 1.
    """

    size: Estimate
    linearity: Estimate
    of_error: Estimate
    of_linear: Estimate
    of_nonlinear: Estimate
    correlation_linear: Estimate
    correlation_nonlinear: Estimate


class KnownParts(TypedDict):
    """The parts of SaeError."""

    absent: PartNumbers
    dense: PartNumbers
    introduced: PartNumbers


class AtCosine(TypedDict):
    """The parts, where a feature has a latent if their cosine is at least this; `known`: how many have one."""

    cosine: float
    known: int
    parts: KnownParts


class CodeNumbers(TypedDict):
    """Of the latents (features) that fire, the share whose feature (latent) fires; squared error of codes; L0."""

    precision: Estimate
    recall: Estimate
    code_error: Estimate
    l0: Estimate


class Encoders(TypedDict):
    """By the SAE's own encoder, and by gradient pursuit."""

    own: CodeNumbers
    pursuit: CodeNumbers


class GainParts(TypedDict):
    """What pursuit gains by introducing less, by standing in for absent features, and by fitting the dense part."""

    absent: Estimate
    dense: Estimate
    introduced: Estimate


class PursuitNumbers(TypedDict):
    """By what share of it pursuit lowers FVU, and the parts of that: over Σ ‖SaeError‖², and over the gain."""

    gain: Estimate
    of_error: GainParts
    of_gain: GainParts


class SyntheticSaeRow(TypedDict):
    """One SAE; the first of `by_cosine` is the one that everything else is at."""

    name: str
    architecture: Architecture
    d_sae: int
    k: int
    seed: int
    expansion: float
    dead_latents: int
    mean_cosine: float
    fvu: Estimate
    fvu_nonlinear: Estimate
    by_cosine: list[AtCosine]
    codes: Encoders
    pursuit: PursuitNumbers


class OfSyntheticSae(Estimate):
    """An estimate of one SAE."""

    sae: str


class Shares(TypedDict):
    """A share, of each SAE."""

    share: list[OfSyntheticSae]


class LinearityLeads(TypedDict):
    """A difference, of each SAE."""

    lead: list[OfSyntheticSae]


class NarrowAndWide(TypedDict):
    """Of the narrowest and the widest SAE of the first architecture."""

    narrow: Estimate
    wide: Estimate


class Across(TypedDict):
    """Correlations over all SAEs."""

    linear: Estimate
    nonlinear: Estimate
    specific: Estimate


class GroundTruthEstimands(TypedDict):
    """What predictions take; nothing where the experiment is off."""

    absent_and_dense_in_linear: NotRequired[Shares]
    introduced_in_nonlinear: NotRequired[Shares]
    absent_linearity_lead: NotRequired[LinearityLeads]
    features_in_pursuit_gain: NotRequired[NarrowAndWide]
    parts_across_saes: NotRequired[Across]


class GroundTruthContent(TypedDict):
    """What the parts of the error are where features are known."""

    world: DrawnWorld
    context_rows: int
    cosine: float
    saes: list[SyntheticSaeRow]
    estimands: GroundTruthEstimands
