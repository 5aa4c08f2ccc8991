"""Parameters of the sparse autoencoders: which there are, and how they are trained."""

from typing import Annotated, Literal

from pydantic import Field

from darkmatter.sections import Hookpoint, Name, Section


class SaeGroup(Section):
    """A grid of SAEs that share a purpose and a training budget: hookpoints × d_sae × k × seeds."""

    hookpoints: list[Hookpoint]
    architecture: Literal["topk", "jumprelu"] = "topk"
    d_sae: list[Annotated[int, Field(ge=2)]]
    k: list[Annotated[int, Field(ge=1)]]
    seeds: list[int]
    train_tokens: Annotated[int, Field(ge=1)]


class Training(Section):
    batch_size: Annotated[int, Field(ge=1)]
    learning_rate: Annotated[float, Field(gt=0)]
    learning_rate_d_sae: Annotated[int, Field(ge=1)]
    learning_rate_max: Annotated[float, Field(gt=0)]
    warm_up_steps: Annotated[int, Field(ge=0)]
    decay_share: Annotated[float, Field(ge=0, le=1)]
    dead_after_tokens: Annotated[int, Field(ge=1)]
    auxiliary_coefficient: Annotated[float, Field(ge=0)]
    outlier_norm_ratio: Annotated[float, Field(gt=1)]
    curve_points: Annotated[int, Field(ge=2)]


class Saes(Section):
    groups: dict[Name, SaeGroup]
    training: Training


class SaeSpec(Section):
    """One SAE. `name` is unique at its hookpoint, such as `widths-2048-k32-s0`."""

    name: str
    group: str
    hookpoint: str
    architecture: Literal["topk", "jumprelu"]
    d_sae: int
    k: int
    seed: int
    train_tokens: int

    @property
    def path(self) -> str:
        return f"{self.hookpoint}/{self.name}"
