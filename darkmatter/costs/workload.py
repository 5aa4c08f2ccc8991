"""What there is to do: the composed parameters, the shape of their model, and the sizes of their SAEs."""

from dataclasses import dataclass

from darkmatter.costs.shapes import ModelShape, shape_of
from darkmatter.params.data import Tokens
from darkmatter.params.saes import Saes, SaeSpec
from darkmatter.params.schema import Params
from darkmatter.params.types import ParamsError
from darkmatter.saes.published.pins import references
from darkmatter.storage.artifacts import read_json
from darkmatter.storage.paths import MANIFESTS

FLOAT32, FLOAT64 = 4, 8
UNKNOWN_L0 = 100  # of a published SAE that says nothing of it
FILE_BYTES = {"llama-scope": 2}  # of one number as published, where it is no float32


@dataclass(frozen=True)
class PlannedSae:
    """An SAE that is trained or fetched: its place, its size and what training it takes.

    Attributes:
        path: HOOKPOINT/NAME; of one that a stage trains for itself the hookpoint alone.
        l0: active latents per token: k of one trained here, the nominal L0 of a published one.
        train_tokens: 0 for one that is published.
        dense: trained here as JumpReLU, through every latent.
        file_bytes: of one number, as published.
    """

    path: str
    d_model: int
    d_sae: int
    l0: float
    train_tokens: int = 0
    group: str = ""
    dense: bool = False
    published: bool = False
    file_bytes: int = FLOAT32

    @property
    def hookpoint(self) -> str:
        return self.path.partition("/")[0]

    @property
    def file_size(self) -> float:
        return self.size * self.file_bytes / FLOAT32

    @property
    def size(self) -> float:
        """Bytes of encoder, decoder and biases in float32."""
        return FLOAT32 * (2 * self.d_model * self.d_sae + 2 * self.d_sae + self.d_model)


@dataclass(frozen=True)
class Workload:
    """A profile's parameters with the sizes that its costs follow from.

    Attributes:
        saes: of every group, in the order of the parameters.
    """

    params: Params
    model: ModelShape
    saes: tuple[PlannedSae, ...]

    @property
    def name(self) -> str:
        return self.params.profile

    @property
    def tokens(self) -> Tokens:
        return self.params.tokens

    @property
    def hookpoints(self) -> dict[str, int]:
        """Dimensions of each."""
        return {name: self.model.width(name) for name in self.params.hookpoints}

    @property
    def train_contexts(self) -> dict[str, int]:
        """Of each hookpoint."""
        return {name: data.train_contexts for name, data in self.params.hookpoints.items()}

    @property
    def main(self) -> str:
        return self.params.figures.main_hookpoint

    @property
    def folds(self) -> int:
        return self.params.decomposition.folds

    @property
    def rows(self) -> int:
        return self.tokens.eval_contexts * self.tokens.positions

    @property
    def number_bytes(self) -> int:
        """Of one weight and one activation, as the model is stored and run."""
        return 2 if self.params.model.dtype == "bfloat16" else FLOAT32

    def at(self, hookpoint: str) -> tuple[PlannedSae, ...]:
        return tuple(sae for sae in self.saes if sae.hookpoint == hookpoint)

    def sae(self, path: str) -> PlannedSae:
        """The SAE at HOOKPOINT/NAME."""
        return next(sae for sae in self.saes if sae.path == path)

    def at_main(self, name: str) -> PlannedSae:
        """The SAE of that name at the main hookpoint."""
        return self.sae(f"{self.main}/{name}")


def layer_number(hookpoint: str) -> int:
    return int(hookpoint.rpartition(".")[2])


def formats(saes: Saes) -> dict[str, str]:
    """Format of each SAE of the manifest that the parameters name, by each of its names."""
    if saes.published is None or saes.published.manifest is None:
        return {}
    path = MANIFESTS / f"{saes.published.manifest}.json"
    if not path.is_file():
        raise ParamsError(f"saes.published.manifest: there is no {path}; name another, or run `git checkout {path}`")
    listed = read_json(path)["saes"]
    return {name: sae["format"] for sae in listed for name in references(sae)}


def sae_of(spec: SaeSpec, d_model: int, file_format: str | None) -> PlannedSae:
    return PlannedSae(
        spec.path,
        d_model,
        spec.d_sae,
        spec.nominal_l0 or spec.k or UNKNOWN_L0,
        spec.train_tokens,
        spec.group,
        dense=spec.reference is None and spec.architecture != "topk",
        published=spec.reference is not None,
        file_bytes=FILE_BYTES.get(file_format, FLOAT32),
    )


def from_params(params: Params) -> Workload:
    """The workload of composed parameters.

    Raises:
        ParamsError: the model's shape is not known, or there is no such list of published SAEs.
    """
    model, format_of = shape_of(params.model), formats(params.saes)
    saes = [sae_of(spec, model.width(spec.hookpoint), format_of.get(spec.reference)) for spec in params.sae_specs()]
    return Workload(params, model, tuple(saes))
