"""Parameters of the experiments, one section for each stage after the SAEs."""

from itertools import pairwise
from typing import Annotated, Literal

from pydantic import AfterValidator, Field, StringConstraints, model_validator

from darkmatter.params.types import HOOKPOINT, Hookpoint, Name, Section

SaePath = Annotated[str, StringConstraints(pattern=rf"^{HOOKPOINT}/[A-Za-z0-9][\w-]*$")]
Share = Annotated[float, Field(ge=0, lt=1)]
Count = Annotated[int, Field(ge=1)]


class Bootstrap(Section):
    resamples: Annotated[int, Field(ge=100)]
    level: Annotated[float, Field(gt=0.5, lt=1)]
    seed: int


class Decomposition(Section):
    """`outlier_norm_ratio`: eval rows with more than so many median norms are left out; null keeps all."""

    fit_share: Annotated[float, Field(gt=0, lt=1)]
    folds: Annotated[int, Field(ge=2)]
    split_seed: int
    eigen_cutoff: Annotated[float, Field(gt=0, lt=1e-3)]
    outlier_norm_ratio: Annotated[float, Field(gt=1)] | None = None
    bootstrap: Bootstrap


class PerTokenScaling(Section):
    groups: list[Name]
    tokens_shown: Annotated[int, Field(ge=1)]


class NormBaselines(Section):
    groups: Annotated[list[Name], Field(min_length=1)]


class ErrorSaes(Section):
    sae: Name
    train_contexts: Count
    train_tokens: Count
    d_sae: Annotated[int, Field(ge=2)]
    k: Count
    seeds: Annotated[list[int], Field(min_length=1)]


class Interpretability(Section):
    """`endpoint` is the base URL of an OpenAI-compatible server; without one the offline surrogate judges.

    `reasoning_tokens`: what the model may write before each answer, beyond the answer's own few tokens.
    """

    endpoint: str | None
    model: str | None
    key_variable: Annotated[str, StringConstraints(pattern=r"^[A-Za-z_]\w*$")]
    dollars_per_million_tokens: tuple[float, float] | None
    max_dollars: Annotated[float, Field(gt=0)] | None
    timeout_seconds: Annotated[float, Field(gt=0)]
    reasoning_tokens: Annotated[int, Field(ge=0)] = 0
    retries: Annotated[int, Field(ge=0)]
    error_sae_seed: int
    latents: Count
    deciles: Annotated[int, Field(ge=2)]
    examples_per_decile: Count
    negatives: Count
    explained_examples: Count
    window: Annotated[int, Field(ge=2)]
    examples_per_prompt: Count
    parallel_calls: Count
    seed: int

    @model_validator(mode="after")
    def complete(self) -> "Interpretability":
        if self.endpoint and not self.model:
            raise ValueError("`endpoint` needs `model`, the name the server knows its model by")
        return self


class Downstream(Section):
    """`controls`: the parts of the error whose norms the random vectors take."""

    saes: Annotated[list[Name], Field(min_length=1, max_length=6)]
    controls: list[Literal["linear", "nonlinear"]]
    contexts: Annotated[int, Field(ge=2)]
    seed: int


class Pursuit(Section):
    groups: list[Name]
    contexts: Annotated[int, Field(ge=4)]


class Components(Section):
    """`parents`: SAEs of what the residual stream at `sae` is the sum of (Eq. 16); of attention, attn_out or attn_z."""

    sae: Name
    parents: Annotated[list[SaePath], Field(min_length=1)]


class LatentProbe(Section):
    sae: Name
    smoothing: Count
    smoothing_authors: Count
    min_firings: Count


def rising_from_zero(values: list[float]) -> list[float]:
    if values[0] != 0 or any(later <= earlier for earlier, later in pairwise(values)):
        raise ValueError("begin with 0 and rise: what is planted is compared with its absence")
    return values


class SyntheticNoise(Section):
    """Each seed draws noise for a part of the `contexts` of its own; `further_saes` are measured beside `sae`."""

    sae: Name
    further_saes: Annotated[list[Name], Field(default_factory=list)]
    contexts: Annotated[int, Field(ge=6)]
    noise_deviations: Annotated[
        list[Annotated[float, Field(ge=0)]], Field(min_length=3), AfterValidator(rising_from_zero)
    ]
    ablated_shares: Annotated[list[Share], Field(min_length=3), AfterValidator(rising_from_zero)]
    seeds: Annotated[list[int], Field(min_length=2)]

    @model_validator(mode="after")
    def divisible(self) -> "SyntheticNoise":
        if self.contexts < 3 * len(self.seeds):
            raise ValueError(
                f"{self.contexts} contexts are too few for {len(self.seeds)} seeds with 3 of their own each"
            )
        if self.sae in self.further_saes or len({*self.further_saes}) < len(self.further_saes):
            raise ValueError("`further_saes` names an SAE twice, or `sae` again")
        return self

    @property
    def contexts_per_seed(self) -> int:
        return self.contexts // len(self.seeds)


class RandomFeatures(Section):
    features: Count
    d_model: Count
    expected_l0: Annotated[float, Field(gt=0)]
    power_law: Annotated[float, Field(gt=0)]
    rows: Count
    masked_shares: Annotated[
        list[Annotated[float, Field(ge=0, le=1)]], Field(min_length=4), AfterValidator(rising_from_zero)
    ]
    seeds: Annotated[list[int], Field(min_length=2)]

    @model_validator(mode="after")
    def feasible(self) -> "RandomFeatures":
        if self.expected_l0 >= self.features:
            raise ValueError(f"`expected_l0` {self.expected_l0} needs more than {self.features} features")
        return self


class Controls(Section):
    contexts: Annotated[int, Field(ge=4)]
    sae: Name
    planted_shares: list[Share]
    features: Count
    feature_probability: Annotated[float, Field(gt=0, lt=1)]
    seed: int


class Lemmas(Section):
    rows: Annotated[int, Field(ge=1000)]
    features: Annotated[int, Field(ge=1)]
    seed: int


class Figures(Section):
    main_hookpoint: Hookpoint
    widths_group: Name
    grid_groups: list[Name]
    layers_groups: Annotated[list[Name], Field(min_length=1)]
    appendix_hookpoints: list[Hookpoint]
    power_law_starts: Annotated[int, Field(ge=1)]
    seed: int
    font_size: Annotated[float, Field(gt=0)]
