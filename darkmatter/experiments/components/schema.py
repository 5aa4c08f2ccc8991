"""What reports/PROFILE/results/components.json holds."""

from typing_extensions import TypedDict

from darkmatter.statistics.estimate import ByConvention, BySplit, Estimate, R2Estimates


class OfRegressor(Estimate):
    """R² of one parent's SAE: HOOKPOINT/NAME."""

    regressor: str


class OfParents(TypedDict):
    """One estimate for each parent."""

    r2: list[OfRegressor]


class OfReconstruction(TypedDict):
    """The estimate of Sae(x) itself."""

    r2: Estimate


class ComponentsEstimands(TypedDict):
    """What claims take."""

    components_explain_error: OfParents
    components_explain_nonlinear: OfParents
    components_explain_nonlinear_pooled: OfParents
    sae_explains_nonlinear: OfReconstruction


class TargetFits(TypedDict):
    """The error and its parts."""

    error: R2Estimates
    linear: R2Estimates
    nonlinear: R2Estimates


class Regressor(TypedDict):
    """One regressor, of the SAEs HOOKPOINT/NAME, on each target."""

    regressor: str
    label: str
    saes: list[str]
    targets: TargetFits


class ComponentsContent(TypedDict):
    """How much of the error the parents' reconstructions explain (section 6.2)."""

    sae: str
    rows: int
    contexts: int
    regressors: list[Regressor]
    estimands: ComponentsEstimands
    estimands_by_variant: BySplit[ByConvention[ComponentsEstimands]]
