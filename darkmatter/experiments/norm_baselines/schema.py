"""What reports/PROFILE/results/norm_baselines.json holds."""

from typing_extensions import TypedDict

from darkmatter.statistics.estimate import ByConvention, BySplit, Estimate


class Others(TypedDict):
    """Every regressor but the activation."""

    token_identity: Estimate
    token_identity_seen: Estimate
    l0: Estimate
    activation_norm: Estimate
    activation_norm_squared: Estimate
    model_loss: Estimate


class Regressors(Others):
    """Every regressor; those `_seen` are scored on rows whose token is among the fit rows."""

    activation: Estimate
    activation_seen: Estimate


class SaeR2(TypedDict):
    """R² of each regressor, and the activation's minus each, paired."""

    r2: Regressors
    activation_minus: Others


class BaselineSae(TypedDict):
    """One SAE: R² of the norm of its error, and of the square."""

    name: str
    hookpoint: str
    layer: int
    d_sae: int
    k: int | None
    seed: int
    estimates: BySplit[ByConvention[SaeR2]]
    estimates_of_square: BySplit[ByConvention[SaeR2]]


class Differences(TypedDict):
    """Differences of R², means over SAEs: the activation's minus each, and token identity's lead at the first layer."""

    token_identity: Estimate
    l0: Estimate
    activation_norm: Estimate
    model_loss: Estimate
    first_layer: Estimate


class DifferencesWithSquare(Differences):
    """Of the norm, and of its square."""

    square_token_identity: Estimate
    square_l0: Estimate
    square_activation_norm: Estimate
    square_model_loss: Estimate
    square_first_layer: Estimate


class NormBaselinesEstimands(TypedDict):
    """What claims take."""

    norm_baseline_differences: Differences
    norm_baseline_order: DifferencesWithSquare


class OnAllRows(TypedDict):
    """What claims take of all held-out rows, tokens among them that no fit has met."""

    norm_baseline_order: Differences


NormBaselinesVariants = TypedDict(
    "NormBaselinesVariants",
    {
        "token": ByConvention[NormBaselinesEstimands],
        "context": ByConvention[NormBaselinesEstimands],
        "token/paper/all-rows": OnAllRows,
    },
)


class NormBaselinesContent(TypedDict):
    """What predicts the norm of an error (appendix A.3); `first_layer` and `second_half` are hookpoints."""

    groups: list[str]
    depth: int
    first_layer: list[str]
    second_half: list[str]
    saes: list[BaselineSae]
    estimands: NormBaselinesEstimands
    estimands_by_variant: NormBaselinesVariants
