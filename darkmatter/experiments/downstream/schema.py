"""What reports/PROFILE/results/downstream.json holds."""

from typing import Literal, NotRequired

from typing_extensions import TypedDict

from darkmatter.decomposition.schema import SaeFacts
from darkmatter.statistics.estimate import ByConvention, Estimate


class Parts(TypedDict):
    """LinearError and NonlinearError."""

    linear: Estimate
    nonlinear: Estimate


class Recovered(Parts):
    """Also of the controls: parts of the same norms and random directions."""

    random_linear: NotRequired[Estimate]
    random_nonlinear: NotRequired[Estimate]


class Splices(Recovered):
    """Of every splice."""

    sae: Estimate


class Expectations(TypedDict):
    """One of each way to say what a part's size lets expect."""

    norm: Parts
    norm_of_error: Parts
    variance: Parts
    variance_per_dimension: Parts


class DownstreamSae(SaeFacts):
    """One SAE: nats per token, shares recovered and expected, and their ratio."""

    rank: int
    cross_entropy: Splices
    increase: Splices
    recovered_percent: Recovered
    expected_percent: Expectations
    ratio: Expectations


class Clean(TypedDict):
    """Of the model without a splice."""

    clean: Estimate


class CrossEntropyRatio(TypedDict):
    """Components of the claim ce-proportional."""

    linear_by_norm: Estimate
    nonlinear_by_norm: Estimate
    linear_by_variance: Estimate
    nonlinear_by_variance: Estimate


class DownstreamEstimands(TypedDict):
    """What claims take."""

    cross_entropy_ratio: CrossEntropyRatio


class HeldOutContexts(TypedDict):
    """The split whose held-out contexts are scored."""

    context: ByConvention[DownstreamEstimands]


class DownstreamContent(TypedDict):
    """Cross-entropy with parts of the error put back (section 5.3)."""

    model: str
    hookpoint: str
    split: str
    contexts: list[int]
    rows: int
    positions: list[int]
    controls: list[Literal["linear", "nonlinear"]]
    cross_entropy: Clean
    saes: list[DownstreamSae]
    mean_ratio: Expectations
    estimands: DownstreamEstimands
    estimands_by_variant: HeldOutContexts
