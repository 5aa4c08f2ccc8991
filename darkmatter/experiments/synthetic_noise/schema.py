"""What reports/PROFILE/results/synthetic_noise.json holds."""

from typing import NotRequired

from typing_extensions import TypedDict

from darkmatter.statistics.estimate import ByConvention, BySplit, Estimate


class Correlations(TypedDict):
    """Table 1: noise on x' and on Sae(x') with both estimates, and the lead of the matching one."""

    x_dense: Estimate
    x_introduced: Estimate
    sae_dense: Estimate
    sae_introduced: Estimate
    x_lead: Estimate
    sae_lead: Estimate


class Lines(TypedDict):
    """Appendix C.3: is the line flat, its level Introduced, its distance to the asymptote Dense?"""

    flatness: Estimate
    introduced: Estimate
    dense: Estimate


class OverIntroduced(TypedDict):
    """FVU_nonlinear over Introduced, of the SAE itself and of the planted noise."""

    own: Estimate
    planted: Estimate


class Smallest(TypedDict):
    """The least that FVU_nonlinear exceeds Introduced by."""

    smallest: Estimate


class LeastOver(TypedDict):
    """The least of FVU_nonlinear over Introduced, and the largest Introduced."""

    ratio: Estimate
    introduced: Estimate


class DenseFound(TypedDict):
    """Estimated over planted Dense."""

    found: Estimate


class DenseRecovered(DenseFound):
    """Beside it what any linear map could recover."""

    recovered: Estimate


class FlatnessOfSae(Estimate):
    """A number of one SAE."""

    sae: str


class FlatnessOfSaes(TypedDict):
    """Of every SAE."""

    flatness: list[FlatnessOfSae]


class SyntheticNoiseEstimands(TypedDict):
    """What claims take; flatness of every SAE under the primary convention alone."""

    synthetic_correlations: Correlations
    synthetic_lines: Lines
    synthetic_line_fits: Lines
    nonlinear_over_introduced: OverIntroduced
    nonlinear_above_introduced: Smallest
    least_over_introduced: LeastOver
    dense_over_planted: DenseFound
    dense_and_recovered: DenseRecovered
    synthetic_flatness: NotRequired[FlatnessOfSaes]


Sensitivity = TypedDict(
    "Sensitivity",
    {
        "noise as deviations": SyntheticNoiseEstimands,
        "noise as shares of variance": SyntheticNoiseEstimands,
    },
)


class Cell(TypedDict):
    """One amount of noise on x' and on Sae(x'), and one share ablated."""

    noise_x: float
    noise_sae: float
    ablated: float
    fvu: Estimate
    fvu_nonlinear: Estimate
    dense: Estimate
    introduced: float
    vector_r2: Estimate


class NoiseFlatness(TypedDict):
    """Flatness at one amount of noise."""

    noise_x: float
    noise_sae: float
    flatness: Estimate


class WidthFlatness(TypedDict):
    """Flatness of one SAE over all amounts of noise."""

    sae: str
    d_sae: int
    latents_per_dimension: float
    flatness: Estimate


class SyntheticNoiseContent(TypedDict):
    """Planted noise and ablated latents (appendix B.2, C.3), with the options that they were drawn by."""

    hookpoint: str
    sae: str
    level: float
    noise_deviations: list[float]
    ablated_shares: list[float]
    seeds: list[int]
    contexts: int
    contexts_per_seed: int
    d_sae: int
    d_model: int
    unit: float
    units: list[float]
    silent_latents: list[int]
    ablated: list[int]
    activity_ablated: list[float]
    rows: int
    cells: list[Cell]
    flatness_by_noise: list[NoiseFlatness]
    by_width: list[WidthFlatness]
    flatness_slope: Estimate
    estimands: SyntheticNoiseEstimands
    estimands_by_variant: BySplit[ByConvention[SyntheticNoiseEstimands]]
    sensitivity: Sensitivity
