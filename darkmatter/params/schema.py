"""The parameters: what params.yaml may say, checked before any work.

params.yaml is composed from conf/ (where each value has its reason) by `darkmatter params`, or by
`dvc exp run -S ...`; it is never edited by hand. Unknown keys are refused, and so are values that could only
fail later: too few rows for the regression, two SAEs of one name, an SAE on a hookpoint nobody extracts.
"""

import functools
import importlib
import re
import types
import typing
from collections.abc import Iterable, Sequence
from difflib import get_close_matches
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import yaml
from pydantic import BaseModel, ValidationError, model_validator

from darkmatter.params.data import Activations, Corpus, HookpointData, Model
from darkmatter.params.decomposition import Decomposition
from darkmatter.params.figures import Figures
from darkmatter.params.saes import Saes, SaeSpec
from darkmatter.params.tokens import TokenWindows
from darkmatter.params.types import Device, FileName, Hookpoint, ParamsError, Section
from darkmatter.storage.safe_yaml import load_with_nodes, repeated_keys

if TYPE_CHECKING:  # read by name, in `complete`: no stage's code depends on the options of another experiment
    from darkmatter.experiments.architectures.params import Architectures
    from darkmatter.experiments.components.params import Components
    from darkmatter.experiments.controls.params import Controls
    from darkmatter.experiments.downstream.params import Downstream
    from darkmatter.experiments.error_saes.params import ErrorSaes
    from darkmatter.experiments.ground_truth.params import GroundTruth
    from darkmatter.experiments.interpretability.params import Interpretability
    from darkmatter.experiments.latent_probe.params import LatentProbe
    from darkmatter.experiments.lemmas.params import Lemmas
    from darkmatter.experiments.norm_baselines.params import NormBaselines
    from darkmatter.experiments.nulls.params import Nulls
    from darkmatter.experiments.per_token_scaling.params import PerTokenScaling
    from darkmatter.experiments.pursuit.params import Pursuit
    from darkmatter.experiments.random_features.params import RandomFeatures
    from darkmatter.experiments.synthetic_noise.params import SyntheticNoise

PARAMS = Path("params.yaml")
SHOWN = 8  # wrong keys in a message
# Each experiment that has options has them in experiments/NAME/params.py.
EXPERIMENTS = sorted(path.parent.name for path in (Path(__file__).parents[1] / "experiments").glob("*/params.py"))


class Params(Section):
    """Everything that params.yaml says.

    Attributes:
        arithmetic: of matrix products in passes through the model and in training; auto: what is faster where the model
            is made.
    """

    profile: FileName
    device: Device
    arithmetic: Literal["auto", "float32", "bfloat16"]
    corpus: Corpus
    model: Model
    tokens: TokenWindows
    hookpoints: dict[Hookpoint, HookpointData]
    activations: Activations
    saes: Saes
    decomposition: Decomposition
    per_token_scaling: "PerTokenScaling"
    norm_baselines: "NormBaselines"
    pursuit: "Pursuit"
    components: "Components"
    downstream: "Downstream"
    error_saes: "ErrorSaes"
    interpretability: "Interpretability"
    latent_probe: "LatentProbe"
    synthetic_noise: "SyntheticNoise"
    random_features: "RandomFeatures"
    controls: "Controls"
    nulls: "Nulls"
    ground_truth: "GroundTruth"
    architectures: "Architectures"
    lemmas: "Lemmas"
    figures: Figures

    def sae_specs(self, hookpoint: str | None = None) -> list[SaeSpec]:
        """Every configured SAE, in the order of the groups; of one hookpoint where it is named."""
        return [spec for spec in self.saes.specs() if hookpoint in (None, spec.hookpoint)]

    @model_validator(mode="after")
    def consistent(self) -> "Params":
        if self.arithmetic == "bfloat16" and self.device != "cpu":
            raise ValueError(
                f"arithmetic bfloat16 is about products on the CPU, and device is {self.device}. Set arithmetic to "
                "float32: there `model.dtype` says what a model computes in"
            )
        tokens = self.tokens
        if tokens.positions < 1:
            raise ValueError(
                f"tokens.first_position {tokens.first_position} leaves no position before the last of "
                f"tokens.context_length {tokens.context_length}"
            )
        if tokens.order == "stream" and self.corpus.dataset is None:
            raise ValueError(
                "tokens.order stream is for corpus.dataset, whose documents come shuffled; corpus.sources come source "
                "after source, and a source would stand in both train and eval"
            )
        if tokens.order == "stream" and tokens.windows > 1:
            raise ValueError(
                "tokens.windows is for tokens.order balanced; in a stream each document gives its first tokens alone, "
                "as in the paper"
            )
        specs = self.sae_specs()
        names = [spec.path for spec in specs]
        groups = self.saes.group_names
        for listed, where in ((names, "saes"), (groups, "saes.groups and saes.published.groups")):
            if twice := sorted({name for name in listed if listed.count(name) > 1}):
                raise ValueError(f"{where} lists {twice[0]} twice")
        for spec in specs:
            if spec.hookpoint not in self.hookpoints:
                raise ValueError(
                    f"saes.groups.{spec.group} asks for hookpoint {spec.hookpoint}, which `hookpoints` does not list"
                )
            if spec.k is not None and spec.k > spec.d_sae:
                raise ValueError(f"saes.groups.{spec.group}: k = {spec.k} exceeds d_sae = {spec.d_sae}")
        contexts = {
            name: getattr(self, name).contexts for name in ("pursuit", "downstream", "synthetic_noise", "controls")
        }
        for name, count in contexts.items():
            if count > tokens.eval_contexts:
                raise ValueError(f"{name}.contexts {count} exceeds tokens.eval_contexts {tokens.eval_contexts}")
        if self.architectures.classes and self.architectures.contexts > tokens.eval_contexts:
            raise ValueError(f"architectures.contexts exceeds tokens.eval_contexts {tokens.eval_contexts}")
        if self.error_saes.train_contexts > tokens.train_contexts:
            raise ValueError(f"error_saes.train_contexts exceeds tokens.train_contexts {tokens.train_contexts}")
        if self.nulls.saes and self.nulls.random_model_contexts > tokens.train_contexts:
            raise ValueError(f"nulls.random_model_contexts exceeds tokens.train_contexts {tokens.train_contexts}")
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
        asked = {*self.per_token_scaling.groups, *self.figures.grid_groups, *self.pursuit.groups}
        asked |= {self.figures.widths_group, *self.figures.layers_groups, *self.norm_baselines.groups}
        if unknown := asked - {*groups}:
            raise ValueError(f"unknown SAE group {sorted(unknown)[0]!r}; `saes` has {groups}")
        points = {self.figures.main_hookpoint, *self.figures.appendix_hookpoints}
        if unknown := points - self.hookpoints.keys():
            raise ValueError(f"figures: hookpoint {sorted(unknown)[0]} is not listed in `hookpoints`")
        for key, path in self.sae_references():
            if path not in names:
                raise ValueError(f"{key} names {path}, which `saes.groups` does not make")
        main = self.figures.main_hookpoint
        if self.architectures.classes and self.architectures.train_contexts > self.hookpoints[main].train_contexts:
            raise ValueError(f"architectures.train_contexts exceeds hookpoints.{main}.train_contexts")
        for spec in self.at_main(self.nulls.saes):
            if spec.reference or spec.architecture != "topk":
                raise ValueError(f"nulls.saes names {spec.name}; the nulls are trained as a TopK SAE of `saes.groups`")
        return self

    def sae_references(self) -> list[tuple[str, str]]:
        """(key, HOOKPOINT/NAME) of every SAE that an experiment names; a bare name is one at the main hookpoint."""
        sections = ("components", "error_saes", "latent_probe", "synthetic_noise", "controls")
        at_main = [(f"{section}.sae", getattr(self, section).sae) for section in sections]
        at_main += [("downstream.saes", name) for name in self.downstream.saes]
        for section in ("components", "latent_probe", "synthetic_noise"):
            at_main += [(f"{section}.further_saes", name) for name in getattr(self, section).further_saes]
        at_main += [("nulls.saes", name) for name in self.nulls.saes]
        main = self.figures.main_hookpoint
        named = [(key, f"{main}/{name}") for key, name in at_main]
        return [*named, *(("components.parents", path) for path in self.components.parents)]

    def sae_spec(self, path: str) -> SaeSpec:
        """The SAE at HOOKPOINT/NAME."""
        return next(spec for spec in self.sae_specs() if spec.path == path)

    def at_main(self, names: Iterable[str]) -> list[SaeSpec]:
        """The SAEs of these names at the main hookpoint."""
        return [self.sae_spec(f"{self.figures.main_hookpoint}/{name}") for name in names]


@functools.cache
def complete() -> type[Params]:
    """`Params`, with the options of each experiment imported by name."""
    modules = {name: f"darkmatter.experiments.{name}.params" for name in EXPERIMENTS}
    classes = {Params.__annotations__[name]: module for name, module in modules.items()}
    options = {name: getattr(importlib.import_module(module), name) for name, module in classes.items()}
    Params.model_rebuild(_types_namespace=options)
    return Params


def parse_params(content: object, where: str = "params") -> Params:
    """Check composed parameters.

    Raises:
        ParamsError: names each wrong key, or the first of many, with its path.
    """
    try:
        return complete().model_validate(content)
    except ValidationError as error:
        problems = []
        for item in error.errors():
            place = ".".join(" ".join(str(part).split()) for part in item["loc"])  # a name may hold a line end
            message = re.sub(r"^Value error, ", "", item["msg"])
            if item["type"] == "extra_forbidden":
                message = f"there is no such key{near(item['loc'])}"
            problems.append(f"{place}: {message}" if place else message)
        if more := problems[SHOWN:]:
            problems = [*problems[:SHOWN], f"and {len(more)} more"]
        raise ParamsError(f"{where}: " + "; ".join(problems) + ". Fix conf/ and run `darkmatter params`.") from None


def near(place: Sequence[str | int]) -> str:
    """`; did you mean …?` with the keys of that section that are near its last part; nothing where none is."""
    kind: Any = complete()
    for part in place[:-1]:
        kind = inner(kind.model_fields[part].annotation if is_section(kind) else typing.get_args(kind)[-1])
    matches = get_close_matches(str(place[-1]), kind.model_fields) if is_section(kind) else []
    return f"; did you mean {' or '.join(matches)}?" if matches else ""


def is_section(kind: Any) -> bool:
    return isinstance(kind, type) and issubclass(kind, BaseModel)


def inner(kind: Any) -> Any:
    """A type without `Annotated`, and without `None` beside it."""
    if typing.get_origin(kind) in (typing.Union, types.UnionType):
        return inner(next(part for part in typing.get_args(kind) if part is not type(None)))
    return inner(typing.get_args(kind)[0]) if typing.get_origin(kind) is typing.Annotated else kind


def load_params(path: Path = PARAMS) -> Params:
    try:
        content, tree = load_with_nodes(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise ParamsError(f"{path} does not exist here. Run from the repository, or `darkmatter params`.") from None
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise ParamsError(f"{path} is not valid YAML in UTF-8: {' '.join(str(error).split())}") from None
    for line, message in repeated_keys(tree):
        raise ParamsError(f"{path}, line {line}: {message}. Fix conf/ and run `darkmatter params`.")
    return parse_params(content, str(path))
