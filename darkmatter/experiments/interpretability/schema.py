"""What reports/PROFILE/results/interpretability.json holds."""

from typing_extensions import TypedDict

from darkmatter.statistics.estimate import Estimate


class OfDecile(Estimate):
    """Accuracy on the windows of one decile of a latent's activation."""

    decile: int


class Accuracy(TypedDict):
    """Mean over deciles, on silent windows, both balanced, and each decile."""

    mean: Estimate
    silent: Estimate
    balanced: Estimate
    decile: list[OfDecile]


class JudgedAccuracy(TypedDict):
    """Components of the claim: the mean and each decile."""

    mean: Estimate
    decile: list[OfDecile]


class Skipped(TypedDict):
    """Latents that were left out for one reason."""

    latents: int
    share: float


class JudgedPart(TypedDict):
    """The latents of one part's SAE.

    Attributes:
        asked, found, answered: latents asked for, those with enough windows, those that the judge answered for.
        skipped: reason → latents left out; `unanswered`: reason → number.
    """

    asked: int
    found: int
    latents: int
    skipped: dict[str, Skipped]
    answered: int
    unanswered: dict[str, int]
    accuracy: Accuracy


class JudgedParts(TypedDict):
    """Both parts."""

    linear: JudgedPart
    nonlinear: JudgedPart


class InterpretabilityEstimands(TypedDict):
    """What claims take."""

    error_sae_interpretability: JudgedAccuracy


class InterpretabilityContent(TypedDict):
    """How well a judge predicts the latents of both parts' SAEs (Fig. 7); `difference` is linear minus nonlinear."""

    judge: str
    endpoint: str | None
    hookpoint: str
    sae: str
    seed: int
    window: int
    windows: int
    contexts: int
    parts: JudgedParts
    difference: Accuracy
    estimands: InterpretabilityEstimands
