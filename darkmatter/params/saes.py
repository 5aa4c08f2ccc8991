"""Parameters of the sparse autoencoders: which there are, those that are trained here and how, those that exist."""

from typing import Annotated, Literal

from pydantic import AfterValidator, Field, StringConstraints, field_validator

from darkmatter.params.types import FileName, Hookpoint, Name, Section

ALIKE = ("architecture", "d_sae", "k", "train_tokens")  # of SAEs of one hookpoint that differ in their seed alone
GATE_CONTEXTS = 8  # of the train split, on whose rows a published SAE is measured before it is used


class SaeGroup(Section):
    """A grid of SAEs that share a purpose and a training budget: hookpoints × d_sae × k × seeds."""

    hookpoints: list[Hookpoint]
    architecture: Literal["topk", "jumprelu"] = "topk"
    d_sae: list[Annotated[int, Field(ge=2)]]
    k: list[Annotated[int, Field(ge=1)]]
    seeds: list[int]
    train_tokens: Annotated[int, Field(ge=1)]


def without_dots(reference: str) -> str:
    if ".." in reference.split("/"):
        raise ValueError(f"{reference!r} has a `..`; name the folder itself")
    return reference


class PublishedSae(Section):
    """One SAE that exists already.

    Attributes:
        sae: `release/id` of sae-lens's registry, `org/repo@COMMIT:folder`, or a folder on this machine.
        l0: what is published of it; None where nothing is.
        architecture: what it must turn out to be when it is loaded.
    """

    sae: Annotated[str, StringConstraints(pattern=r"^[\w./@:-]+$"), AfterValidator(without_dots)]
    hookpoint: Hookpoint
    d_sae: Annotated[int, Field(ge=2)]
    l0: Annotated[float, Field(gt=0)] | None = None
    architecture: Literal["jumprelu", "topk", "relu"] = "jumprelu"


class PublishedGroup(Section):
    """SAEs that share a purpose.

    Attributes:
        k: the L0 that they were chosen to be nearest to; None where L0 is not what they have in common.
    """

    k: Annotated[int, Field(ge=1)] | None = None
    saes: Annotated[list[PublishedSae], Field(min_length=1)]


class Published(Section):
    """SAEs that are loaded and verified, not trained.

    Attributes:
        manifest: NAME of conf/manifests/NAME.json, where revisions and SHA-256s of a registry's SAEs are kept.
    """

    manifest: FileName | None = None
    groups: dict[Name, PublishedGroup]


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
    groups: dict[Name, SaeGroup] = Field(default_factory=dict)  # trained here
    published: Published | None = None
    training: Training

    @field_validator("groups", mode="before")
    @classmethod
    def none_is_empty(cls, value: object) -> object:
        return {} if value is None else value

    @property
    def group_names(self) -> list[str]:
        return [*self.groups, *(self.published.groups if self.published else ())]

    def specs(self) -> list["SaeSpec"]:
        """Every configured SAE, in the order of the groups."""
        trained = [
            SaeSpec(
                name=f"{group}-{d_sae}-k{k}-s{seed}",
                group=group,
                hookpoint=point,
                architecture=grid.architecture,
                d_sae=d_sae,
                k=k,
                seed=seed,
                train_tokens=grid.train_tokens,
            )
            for group, grid in self.groups.items()
            for point in grid.hookpoints
            for d_sae in grid.d_sae
            for k in grid.k
            for seed in grid.seeds
        ]
        published = [
            SaeSpec(
                name=f"{group}-{sae.d_sae}" + ("" if sae.l0 is None else f"-l0_{sae.l0:g}".replace(".", "_")),
                group=group,
                hookpoint=sae.hookpoint,
                architecture=sae.architecture,
                d_sae=sae.d_sae,
                k=members.k,
                seed=0,
                train_tokens=0,
                reference=sae.sae,
                nominal_l0=sae.l0,
            )
            for group, members in (self.published.groups if self.published else {}).items()
            for sae in members.saes
        ]
        return trained + published


class SaeSpec(Section):
    """One SAE. `name` is unique at its hookpoint, such as `widths-2048-k32-s0`, or `widths-16384-l0_82`.

    Attributes:
        k: latents per token (TopK), or the L0 that was aimed at; None: none was.
        train_tokens: here; 0 for a published SAE.
        reference: of a published SAE, as `PublishedSae.sae`; None: trained here.
    """

    name: str
    group: str
    hookpoint: str
    architecture: Literal["topk", "jumprelu", "relu"]
    d_sae: int
    k: int | None
    seed: int
    train_tokens: int
    reference: str | None = None
    nominal_l0: float | None = None

    @property
    def path(self) -> str:
        return f"{self.hookpoint}/{self.name}"
