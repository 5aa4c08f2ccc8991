"""Options of the stage ground_truth."""

from typing import Annotated, Literal

from pydantic import Field, model_validator

from darkmatter.params.types import Count, Section, Share

Architecture = Literal["topk", "batchtopk", "matryoshka_batchtopk", "jumprelu", "standard", "gated", "matching_pursuit"]
Cosine = Annotated[float, Field(gt=0, lt=1)]
Probability = Annotated[float, Field(gt=0, le=1)]


class World(Section):
    """How rows are drawn: the sparse part by `sae_lens.synthetic`, the dense part by us.

    Attributes:
        features: unit vectors in random directions; more than d_model of them are in superposition.
        zipf_exponent, most_often, least_often: how often features fire, from the first to the last.
        roots, children: the first features are roots; each has so many children, which fire only where it does.
        correlation_rank, correlation_scale: of the low-rank part of the correlation between features' firing.
        magnitude, magnitude_deviation: of a feature that fires, Gaussian cut off at 0.
        dense_share: share of the variance of x that is Gaussian and no feature.
        dense_rank: in how many random orthogonal directions; d_model: in all of them alike.
        seed: of features, probabilities and rows.
    """

    d_model: Count
    features: Count
    zipf_exponent: Annotated[float, Field(gt=0)]
    most_often: Probability
    least_often: Probability
    roots: Count
    children: Annotated[int, Field(ge=2)]
    correlation_rank: Count
    correlation_scale: Annotated[float, Field(ge=0)]
    magnitude: Annotated[float, Field(gt=0)]
    magnitude_deviation: Annotated[float, Field(ge=0)]
    dense_share: Share
    dense_rank: Count
    seed: int

    @model_validator(mode="after")
    def fits(self) -> "World":
        if self.dense_rank > self.d_model:
            raise ValueError(f"dense_rank {self.dense_rank} exceeds d_model {self.d_model}")
        if self.roots * (1 + self.children) > self.features:
            raise ValueError(f"roots and their children are more than the {self.features} features")
        return self


class GroundTruth(Section):
    """Which SAEs are trained on what rows.

    Attributes:
        architectures: sae-lens's training classes, by their names there. None: the experiment is off.
        expansions: d_sae over d_model; each architecture has one SAE of each.
        k: latents on each row, or the mean that the training aims at.
        seeds: of training.
        train_rows, train_tokens: rows that are drawn, and rows that training sees, again where they are more.
        batch_size: rows of a step; all else of the training is that of `saes.training`.
        contexts, context_rows: held-out rows, in groups that stand for contexts: rows are independent of each other.
        cosine: a feature has a latent if the cosine of their directions is at least this.
        further_cosines: others, at which all is said again.
    """

    architectures: list[Architecture]
    expansions: Annotated[list[Annotated[float, Field(gt=0)]], Field(min_length=2)]
    k: Count
    seeds: Annotated[list[int], Field(min_length=1)]
    train_rows: Count
    train_tokens: Count
    batch_size: Count
    contexts: Annotated[int, Field(ge=4)]
    context_rows: Count
    cosine: Cosine
    further_cosines: list[Cosine]
    world: World

    @model_validator(mode="after")
    def consistent(self) -> "GroundTruth":
        if self.expansions != sorted(set(self.expansions)):
            raise ValueError("expansions rise, from the narrowest SAE to the widest")
        if min(self.widths) < self.k:
            raise ValueError(f"k {self.k} exceeds the {min(self.widths)} latents of the narrowest SAE")
        return self

    @property
    def widths(self) -> list[int]:
        return [round(expansion * self.world.d_model) for expansion in self.expansions]

    @property
    def cosines(self) -> list[float]:
        """All at which features are sorted into absent and not, the main one first."""
        return [self.cosine, *self.further_cosines]

    @property
    def saes(self) -> list["SyntheticSae"]:
        return [
            SyntheticSae(
                name=f"{architecture}-{d_sae}-s{seed}", architecture=architecture, d_sae=d_sae, k=self.k, seed=seed
            )
            for architecture in self.architectures
            for d_sae in self.widths
            for seed in self.seeds
        ]


class SyntheticSae(Section):
    """One SAE."""

    name: str
    architecture: Architecture
    d_sae: int
    k: int
    seed: int
