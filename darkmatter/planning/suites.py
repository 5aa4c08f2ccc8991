"""The paper's protocol on published SAEs: workloads of the lists in conf/manifests/, whose profiles do not exist yet.

What section 4 and the scopes of claims.yaml fix is taken from there; what they leave open is a constant below.
"""

from collections import Counter
from collections.abc import Sequence

from darkmatter.artifacts import read_json
from darkmatter.data_params import Tokens
from darkmatter.params import Params
from darkmatter.paths import MANIFESTS
from darkmatter.planning.shapes import known_shape
from darkmatter.planning.workload import DOCUMENT, Sae, Workload
from darkmatter.sections import ParamsError

MAIN = {"gemma-2-2b": "resid_post.12", "gemma-2-9b": "resid_post.20", "gemma3-270m": "resid_post.9"}
PROTOCOL = Tokens(context_length=1024, first_position=200, train_contexts=1, eval_contexts=300, seed=42)  # section 4
NARROW, WIDE = 16384, 131072  # of sections 5.2, 6.2; of A.3 and C.2
ERROR_TOKENS = 100_000_000  # section 5.2: about 100M
ERROR_CONTEXTS = 2_000  # distinct ones, each row used 60 times; see the note that a plan prints
LATENTS = 1000  # section 5.2
HELD_OUT = 118  # contexts that the context split does not fit on; the paper does not say on how many Fig. 8 rests
NOISY_CONTEXTS = 61  # appendix C.3 as published: 50k rows
RANDOM_FEATURES = {"features": 100_000, "d_model": 4000, "expected_l0": 100, "rows": 100_000}  # appendix D
BUFFER = 10_000  # documents of the shuffle
UNPUBLISHED = (
    "this suite cannot be run by this revision yet: there is no such profile in conf/profile, and no stage that reads "
    "published SAEs. The plan says what its protocol will cost.",
)


def names() -> list[str]:
    return sorted(path.stem for path in MANIFESTS.glob("*.json"))


def from_suite(name: str, defaults: Params) -> Workload:
    """The workload of a suite.

    Args:
        defaults: of every size that is ours and not the paper's (folds, controls, lemmas).

    Raises:
        ParamsError: there is no such list.
    """
    if name not in names():
        raise ParamsError(f"no suite {name!r}; {MANIFESTS} has {', '.join(names()) or 'none: run in the repository'}")
    manifest = read_json(MANIFESTS / f"{name}.json")
    listed = [(sae_of(entry), entry["roles"]) for entry in manifest["saes"]]
    main, own = MAIN.get(name), {}
    if main:
        own = experiments(listed, main, defaults)
    notes = UNPUBLISHED
    if main:
        rows = ERROR_CONTEXTS * PROTOCOL.positions
        every = 4 * ERROR_TOKENS * known_shape(manifest["model"]).d_model / 1e12
        notes += (
            f"section 5.2 trains on {ERROR_TOKENS / 1e6:.0f}M rows: here {rows / 1e6:.2f}M distinct ones, each used "
            f"{ERROR_TOKENS / rows:.0f} times, since as many distinct ones would take {every:.1f} TB in float32.",
        )
    error_contexts = {main: ERROR_CONTEXTS} if main else {}
    documents = BUFFER + 4 * (PROTOCOL.eval_contexts + sum(error_contexts.values()))
    return Workload(
        name=name,
        model=known_shape(manifest["model"]),
        tokens=PROTOCOL,
        hookpoints={sae.hookpoint: sae.d_model for sae, _ in listed},
        train_contexts=error_contexts,
        batch=2,
        saes=tuple(sae for sae, _ in listed),
        batch_size=defaults.saes.training.batch_size,
        folds=defaults.decomposition.folds,
        main=main,
        text=float(documents * DOCUMENT),
        model_bytes=2,
        lemmas=defaults.lemmas,
        random_features=defaults.random_features.model_copy(update=RANDOM_FEATURES),
        runs=False,
        notes=notes,
        **own,
    )


def sae_of(entry: dict) -> Sae:
    """Of an entry of a manifest. Llama Scope is published in bfloat16, Gemma Scope in float32 (docs/paper-scale.md)."""
    return Sae(
        entry["hookpoint"],
        entry["d_model"],
        entry["width"],
        entry["nominal_l0"],
        dense=entry["architecture"] == "jumprelu",
        published=True,
        file_bytes=2 if entry["format"] == "llama-scope" else 4,
    )


def experiments(listed: Sequence[tuple[Sae, list[str]]], main: str, defaults: Params) -> dict:
    """Which SAEs each experiment takes, by the scopes of claims.yaml."""
    near = [sae for sae, roles in listed if "near60" in roles]
    widths = tuple(sae for sae in near if sae.hookpoint == main)
    narrow = closest(widths, NARROW)
    swept = Counter(sae.d_sae for sae in near if sae.d_sae <= WIDE)
    everywhere = max(swept, key=lambda width: (swept[width], width))
    layer = int(main.rpartition(".")[2])
    parents = [sae for sae, roles in listed if "fig9b" in roles and sae.hookpoint.endswith(f".{layer}")]
    before = [sae for sae in near if sae.hookpoint == f"resid_post.{layer - 1}" and sae.d_sae == NARROW]
    at_16k = [sae for sae, _ in listed if sae.hookpoint == main and sae.d_sae == NARROW and sae not in widths]
    noise = defaults.synthetic_noise
    return {
        "pursued": widths,
        "pursued_contexts": PROTOCOL.eval_contexts,
        "scaled": widths,
        "baselines": tuple(sae for sae in near if sae.d_sae == everywhere),
        "explained": narrow,
        "parents": (*before, *parents) if parents else (),
        "spliced": (*widths, *at_16k),
        "splices": 4,
        "spliced_contexts": HELD_OUT,
        "error_sae": Sae(main, narrow.d_model, NARROW, 60, ERROR_TOKENS),
        "error_contexts": ERROR_CONTEXTS,
        "error_runs": 2,
        "interpretability": defaults.interpretability.model_copy(update={"latents": LATENTS}),
        "probed": closest(widths, WIDE),
        "noisy": narrow,
        "noisy_contexts": NOISY_CONTEXTS,
        "noise_grid": (len(noise.noise_deviations), len(noise.ablated_shares), len(noise.seeds)),
        "controlled": narrow,
        "controlled_contexts": defaults.controls.contexts,
        "planted": len(defaults.controls.planted_shares),
    }


def closest(saes: Sequence[Sae], width: int) -> Sae:
    """The SAE of this width, or of the next narrower one."""
    return max((sae for sae in saes if sae.d_sae <= width), key=lambda sae: sae.d_sae)
