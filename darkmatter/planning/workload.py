"""What there is to do: model, rows, SAEs and the sizes of each experiment, whichever way they were configured."""

from dataclasses import dataclass, field

from darkmatter.data_params import Tokens
from darkmatter.experiment_params import Interpretability, Lemmas, RandomFeatures
from darkmatter.params import Params
from darkmatter.planning.shapes import ModelShape, shape_of

FLOAT32 = 4
WHEELS, PACKED = 25e6, 28e6  # bytes of the seven packages of text of the default profile, packed and as documents
SYNTHETIC = 0.2e6
DOCUMENT = 6000  # bytes of one of the Pile on average; one in four fills a context


@dataclass(frozen=True)
class Sae:
    """Attributes:
    l0: active latents per token: k of TopK, the nominal L0 of a published SAE.
    train_tokens: 0 for one that is published.
    stored_l0: slots that its codes take per token.
    """

    hookpoint: str
    d_model: int
    d_sae: int
    l0: float
    train_tokens: int = 0
    group: str = ""
    dense: bool = False
    published: bool = False
    file_bytes: int = FLOAT32  # of one number, as published

    @property
    def file_size(self) -> float:
        return self.size * self.file_bytes / FLOAT32

    @property
    def size(self) -> float:
        """Bytes of encoder, decoder and biases in float32."""
        return FLOAT32 * (2 * self.d_model * self.d_sae + 2 * self.d_sae + self.d_model)

    @property
    def stored_l0(self) -> float:
        """A row of codes has as many slots as the token with most active latents: of a JumpReLU SAE about 3 L0."""
        return 3 * self.l0 if self.published or self.dense else self.l0


@dataclass(frozen=True)
class Workload:
    """Attributes:
    hookpoints: dimensions of each; `train_contexts` of each that has rows to train on.
    batch: contexts of one pass.
    pursued, scaled, baselines, spliced: SAEs of gradient pursuit, per-token scaling, Fig. 13 and Fig. 8.
    splices: passes for each SAE of Fig. 8.
    error_runs: SAEs trained on parts of an error.
    """

    name: str
    model: ModelShape
    tokens: Tokens
    hookpoints: dict[str, int]
    train_contexts: dict[str, int]
    batch: int
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
    error_sae: Sae | None = None
    error_contexts: int = 0
    error_runs: int = 0
    interpretability: Interpretability | None = None
    probed: Sae | None = None
    noisy: Sae | None = None
    noisy_contexts: int = 0
    noise_grid: tuple[int, int, int] = (0, 0, 0)  # deviations, ablated shares, seeds
    random_features: RandomFeatures | None = None
    controlled: Sae | None = None
    controlled_contexts: int = 0
    planted: int = 0
    lemmas: Lemmas | None = None
    wheels: float = 0.0
    text: float = 0.0
    model_bytes: int = FLOAT32  # of one weight, as the model is stored and run
    runs: bool = True
    notes: tuple[str, ...] = field(default_factory=tuple)

    @property
    def rows(self) -> int:
        return self.tokens.eval_contexts * self.tokens.positions

    def at(self, hookpoint: str) -> tuple[Sae, ...]:
        return tuple(sae for sae in self.saes if sae.hookpoint == hookpoint)


def text_bytes(params: Params) -> float:
    """Bytes of all text: of the packages as measured; of a data set until it has given its documents."""
    dataset = params.corpus.dataset
    if dataset:
        return float(DOCUMENT * (dataset.buffer + 4 * dataset.documents))
    return PACKED / 7 * sum(source.package is not None for source in params.corpus.sources.values()) or SYNTHETIC


def layer_of(hookpoint: str) -> int:
    return int(hookpoint.rpartition(".")[2])


def from_params(params: Params) -> Workload:
    """The workload of composed parameters.

    Raises:
        ParamsError: the model's shape is not known.
    """
    model, main = shape_of(params.model), params.figures.main_hookpoint
    saes = {
        spec.path: Sae(
            spec.hookpoint,
            model.width(spec.hookpoint),
            spec.d_sae,
            spec.k,
            spec.train_tokens,
            spec.group,
            spec.architecture != "topk",
        )
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
        model=model,
        tokens=params.tokens,
        hookpoints={name: model.width(name) for name in params.hookpoints},
        train_contexts={name: data.train_contexts for name, data in params.hookpoints.items()},
        batch=params.activations.batch_contexts,
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
        error_sae=error_sae,
        error_contexts=own.train_contexts,
        error_runs=2 * len(own.seeds),
        interpretability=params.interpretability,
        probed=at_main(params.latent_probe.sae),
        noisy=at_main(noise.sae),
        noisy_contexts=noise.contexts,
        noise_grid=(len(noise.noise_deviations), len(noise.ablated_shares), len(noise.seeds)),
        random_features=params.random_features,
        controlled=at_main(params.controls.sae),
        controlled_contexts=params.controls.contexts,
        planted=len(params.controls.planted_shares),
        lemmas=params.lemmas,
        wheels=WHEELS * len(sources) / 7,
        text=text_bytes(params),
        model_bytes=2 if params.model.dtype == "bfloat16" else FLOAT32,
    )
