"""What there is to do: model, rows, SAEs and the sizes of each experiment, read from composed parameters."""

from dataclasses import dataclass

from darkmatter.experiments.interpretability.params import Interpretability
from darkmatter.experiments.lemmas.params import Lemmas
from darkmatter.experiments.random_features.params import RandomFeatures
from darkmatter.params.data import Tokens
from darkmatter.params.saes import Saes, SaeSpec
from darkmatter.params.schema import Params
from darkmatter.params.types import ParamsError
from darkmatter.planning.shapes import ModelShape, shape_of
from darkmatter.storage.artifacts import read_json
from darkmatter.storage.paths import MANIFESTS

FLOAT32 = 4
WHEELS, PACKED = 25e6, 28e6  # bytes of the seven packages of text of the default profile, packed and as documents
SYNTHETIC = 0.2e6
DOCUMENT = 6000  # bytes of one of the Pile on average
SHORT = 3  # documents of the Pile passed over for each that is long enough for a context
UNKNOWN_L0 = 100  # of a published SAE that says nothing of it
FILE_BYTES = {"llama-scope": 2}  # of one number as published, where it is no float32


@dataclass(frozen=True)
class Sae:
    """Attributes:
    l0: active latents per token: k of one trained here, the nominal L0 of a published one.
    train_tokens: 0 for one that is published.
    dense: trained here as JumpReLU, through every latent.
    file_bytes: of one number, as published.
    """

    hookpoint: str
    d_model: int
    d_sae: int
    l0: float
    train_tokens: int = 0
    group: str = ""
    dense: bool = False
    published: bool = False
    file_bytes: int = FLOAT32

    @property
    def file_size(self) -> float:
        return self.size * self.file_bytes / FLOAT32

    @property
    def size(self) -> float:
        """Bytes of encoder, decoder and biases in float32."""
        return FLOAT32 * (2 * self.d_model * self.d_sae + 2 * self.d_sae + self.d_model)


@dataclass(frozen=True)
class Workload:
    """Attributes:
    hookpoints: dimensions of each; `train_contexts` of each that has rows to train on.
    batch, shard: contexts of one pass, and of one file on the way.
    pursued, scaled, baselines, spliced: SAEs of gradient pursuit, per-token scaling, Fig. 13 and Fig. 8.
    splices: passes for each SAE of Fig. 8.
    erring: the SAE whose error `error_sae` is trained on.
    number_bytes: of one weight and one activation, as the model is stored and run.
    label: of the model, as the scopes of claims.yaml name it.
    device: what the parameters say.
    error_runs: SAEs trained on parts of an error.
    """

    name: str
    label: str
    model: ModelShape
    tokens: Tokens
    hookpoints: dict[str, int]
    train_contexts: dict[str, int]
    batch: int
    shard: int
    saes: tuple[Sae, ...]
    batch_size: int
    folds: int
    main: str | None
    pursued: tuple[Sae, ...] = ()
    pursued_contexts: int = 0
    scaled: tuple[Sae, ...] = ()
    baselines: tuple[Sae, ...] = ()
    explained: Sae | None = None
    parents: tuple[Sae, ...] = ()
    spliced: tuple[Sae, ...] = ()
    splices: int = 0
    spliced_contexts: int = 0
    erring: Sae | None = None
    error_sae: Sae | None = None
    error_contexts: int = 0
    error_runs: int = 0
    interpretability: Interpretability | None = None
    probed: Sae | None = None
    noisy: Sae | None = None
    further_noisy: tuple[Sae, ...] = ()
    noisy_contexts: int = 0  # of each seed
    noise_grid: tuple[int, int, int] = (0, 0, 0)  # deviations, ablated shares, seeds
    random_features: RandomFeatures | None = None
    controlled: Sae | None = None
    controlled_contexts: int = 0
    planted: int = 0
    lemmas: Lemmas | None = None
    wheels: float = 0.0
    text: float = 0.0
    number_bytes: int = FLOAT32
    device: str = "cpu"

    @property
    def rows(self) -> int:
        return self.tokens.eval_contexts * self.tokens.positions

    def at(self, hookpoint: str) -> tuple[Sae, ...]:
        return tuple(sae for sae in self.saes if sae.hookpoint == hookpoint)


def text_bytes(params: Params) -> float:
    """Bytes of the text that is kept: of the packages as measured; of a data set by its number of documents."""
    dataset = params.corpus.dataset
    if dataset:
        return float(DOCUMENT * dataset.documents)
    return PACKED / 7 * sum(source.package is not None for source in params.corpus.sources.values()) or SYNTHETIC


def layer_of(hookpoint: str) -> int:
    return int(hookpoint.rpartition(".")[2])


def formats(saes: Saes) -> dict[str, str]:
    """Format of each SAE of the manifest that the parameters name, by `release/id`."""
    if saes.published is None or saes.published.manifest is None:
        return {}
    path = MANIFESTS / f"{saes.published.manifest}.json"
    if not path.is_file():
        raise ParamsError(f"saes.published.manifest: there is no {path}; name another, or run `git checkout {path}`")
    listed = read_json(path)["saes"]
    return {f"{sae['release']}/{sae['id']}": sae["format"] for sae in listed}


def sae_of(spec: SaeSpec, d_model: int, file_format: str | None) -> Sae:
    return Sae(
        spec.hookpoint,
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
    model, main = shape_of(params.model), params.figures.main_hookpoint
    format_of = formats(params.saes)
    saes = {
        spec.path: sae_of(spec, model.width(spec.hookpoint), format_of.get(spec.reference))
        for spec in params.sae_specs()
    }

    def in_groups(groups: list[str], hookpoint: str | None = None) -> tuple[Sae, ...]:
        return tuple(s for s in saes.values() if s.group in groups and hookpoint in (None, s.hookpoint))

    def at_main(name: str) -> Sae:
        return saes[f"{main}/{name}"]

    own, noise = params.error_saes, params.synthetic_noise
    sources = [source for source in params.corpus.sources.values() if source.package]
    error_sae = Sae(main, model.d_model, own.d_sae, own.k, own.train_tokens)
    return Workload(
        name=params.profile,
        label=params.model.label,
        model=model,
        tokens=params.tokens,
        hookpoints={name: model.width(name) for name in params.hookpoints},
        train_contexts={name: data.train_contexts for name, data in params.hookpoints.items()},
        batch=params.activations.batch_contexts,
        shard=params.activations.shard_contexts,
        saes=tuple(saes.values()),
        batch_size=params.saes.training.batch_size,
        folds=params.decomposition.folds,
        main=main,
        pursued=in_groups(params.pursuit.groups, main),
        pursued_contexts=params.pursuit.contexts,
        scaled=in_groups(params.per_token_scaling.groups, main),
        baselines=in_groups(params.norm_baselines.groups),
        explained=at_main(params.components.sae),
        parents=tuple(saes[path] for path in params.components.parents),
        spliced=tuple(at_main(name) for name in params.downstream.saes),
        splices=3 + len(params.downstream.controls),
        spliced_contexts=params.downstream.contexts,
        erring=at_main(own.sae),
        error_sae=error_sae,
        error_contexts=own.train_contexts,
        error_runs=2 * len(own.seeds),
        interpretability=params.interpretability,
        probed=at_main(params.latent_probe.sae),
        noisy=at_main(noise.sae),
        further_noisy=tuple(at_main(name) for name in noise.further_saes),
        noisy_contexts=noise.contexts_per_seed,
        noise_grid=(len(noise.noise_deviations), len(noise.ablated_shares), len(noise.seeds)),
        random_features=params.random_features,
        controlled=at_main(params.controls.sae),
        controlled_contexts=params.controls.contexts,
        planted=len(params.controls.planted_shares),
        lemmas=params.lemmas,
        wheels=WHEELS * len(sources) / 7,
        text=text_bytes(params),
        number_bytes=2 if params.model.dtype == "bfloat16" else FLOAT32,
        device=params.device,
    )
