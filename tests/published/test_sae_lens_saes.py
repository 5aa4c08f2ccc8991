"""SAEs in sae-lens's format of every architecture and normalisation are what a naive float64 one computes."""

import dataclasses
import inspect
import json
import re
from pathlib import Path
from typing import Any

import naive_saes as naive
import numpy as np
import pytest
import sae_lens
import torch
from huggingface_hub import constants
from naive_saes import FACTOR, config_of, make_rows, make_weights, write, write_factor
from sae_lens import (
    SAE,
    BatchTopKTrainingSAE,
    BatchTopKTrainingSAEConfig,
    LanguageModelSAERunnerConfig,
    LoggingConfig,
    MatryoshkaBatchTopKTrainingSAEConfig,
    TopKTrainingSAE,
    TopKTrainingSAEConfig,
    TranscoderConfig,
)
from sae_lens.registry import SAE_CLASS_REGISTRY, SAE_TRAINING_CLASS_REGISTRY
from sae_lens.training.activation_scaler import ActivationScaler, ActivationWhitening
from safetensors.torch import save_file

from darkmatter import decompose
from darkmatter.api.checks import check_declared
from darkmatter.cli import main
from darkmatter.saes.published.adopt import adopt_sae
from darkmatter.saes.published.load import load_pretrained
from darkmatter.saes.published.sae_lens import OPTIONS, read_sae_lens
from darkmatter.saes.published.streamed import StreamedSae
from darkmatter.storage.artifacts import ArtifactError

X = make_rows()
ROWS = X.reshape(-1, naive.D_MODEL)
QUICK = {"resamples": 100, "folds": 3, "threads": 1, "max_fvu": np.inf}
NORMALISATIONS = ("none", "layer_norm", "constant_norm_rescale", "expected_average_only_in")
ARCHITECTURES = {
    "standard": {},
    "gated": {},
    "jumprelu": {"apply_b_dec_to_input": False},
    "topk": {"rescale_acts_by_decoder_norm": True},
    "abstopk": {},
    "matching_pursuit": {"max_iterations": 4},
}


def case(folder: Path, architecture: str, normalisation: str = "none", **options: Any) -> tuple[Path, dict, dict]:
    """Its folder, configuration and weights."""
    config, weights = config_of(architecture, normalisation, **options), make_weights(architecture)
    write(folder, config, weights)
    if normalisation == "expected_average_only_in":
        write_factor(folder)
    return folder, config, weights


def run(sae: Any) -> tuple[np.ndarray, np.ndarray]:
    """Whether each latent fires on each row, and Sae(x)."""
    if isinstance(sae, StreamedSae):
        codes = sae.encode(ROWS)
        fires = np.zeros((len(ROWS), sae.d_sae), dtype=bool)
        rows, slots = np.nonzero(np.arange(codes.index.shape[1]) < codes.l0[:, None])
        fires[rows, codes.index[rows, slots]] = True
        return fires, sae.decode(codes)
    with torch.no_grad():
        acts = sae.encode(torch.from_numpy(ROWS))
        return (acts != 0).numpy(), sae.decode(acts).numpy()


def assert_naive(sae: Any, config: dict, weights: dict, **options: Any) -> None:
    latents, output = naive.naive(config, weights, ROWS, **options)
    fires, result = run(sae)
    assert np.array_equal(fires, latents != 0)
    np.testing.assert_allclose(result, output, rtol=1e-4, atol=1e-4)


def numbers(capsys: pytest.CaptureFixture, folder: Path) -> dict:
    """What the command line says of X."""
    np.save(folder / "x.npy", X)
    main(["decompose", "--activations", str(folder / "x.npy"), "--sae", str(folder), "--json", "--max-fvu", "1e9"])
    return json.loads(capsys.readouterr().out)


def values(result: dict) -> np.ndarray:
    """Every number that is no interval."""
    kept = ("fvu", "fvu_nonlinear", "vector_r2", "norm_r2")
    ways = [result["estimates"][split]["paper"] for split in ("token", "context")]
    return np.array([way[name]["value"] for way in ways for name in kept] + [result["l0"], result["dead_latents"]])


@pytest.mark.parametrize("normalisation", NORMALISATIONS)
@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_every_architecture_and_normalisation(tmp_path: Path, architecture: str, normalisation: str) -> None:
    folder, config, weights = case(tmp_path / "sae", architecture, normalisation, **ARCHITECTURES[architecture])
    loaded = load_pretrained(folder)
    assert_naive(loaded.sae, config, weights)
    assert (loaded.d_model, loaded.d_sae, loaded.hookpoint) == (naive.D_MODEL, naive.D_SAE, "resid_post.3")
    streamed = architecture in ("standard", "jumprelu", "topk") and normalisation in NORMALISATIONS[::3]
    assert isinstance(loaded.sae, StreamedSae) == streamed


@pytest.mark.parametrize(
    ("architecture", "normalisation"),
    [("gated", "layer_norm"), ("gated", "none"), ("topk", "constant_norm_rescale"), ("abstopk", NORMALISATIONS[3])],
)
def test_command_line_function_and_a_given_reconstruction_agree(
    tmp_path: Path, capsys, architecture: str, normalisation: str
) -> None:
    folder, config, weights = case(tmp_path / "sae", architecture, normalisation)
    result = numbers(capsys, folder)
    latents, output = naive.naive(config, weights, ROWS)
    right = decompose(X, reconstructions=output.reshape(X.shape).astype(np.float32), threads=1, max_fvu=np.inf)
    own = SAE.load_from_disk(folder)  # as a user has it in memory
    if normalisation == "expected_average_only_in":
        own.fold_activation_norm_scaling_factor(FACTOR)
    in_memory = decompose(X, own, threads=1, max_fvu=np.inf)
    np.testing.assert_allclose(values(result), values(dataclasses.asdict(in_memory)), atol=1e-6)
    expected = dataclasses.asdict(right) | {
        "l0": (latents != 0).sum(1).mean(),
        "dead_latents": (latents == 0).all(0).sum(),
    }
    np.testing.assert_allclose(values(result), values(expected), atol=1e-5)


def test_a_latent_that_only_fires_negatively_is_alive(tmp_path: Path) -> None:
    config, weights = config_of("abstopk", k=2), make_weights("abstopk")
    weights["b_enc"][5] = -1000
    for name, normalisation in (("codes", "none"), ("anew", "layer_norm")):
        folder = write(tmp_path / name, config | {"normalize_activations": normalisation}, weights)
        latents, _ = naive.naive(config | {"normalize_activations": normalisation}, weights, ROWS)
        assert (latents[:, 5] < 0).all()
        result = decompose(X, load_pretrained(folder).sae, **QUICK)
        assert (result.l0, result.dead_latents) == (2, (latents == 0).all(0).sum())


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
@pytest.mark.parametrize(
    ("architecture", "normalisation"), [("gated", "none"), ("jumprelu", "layer_norm"), ("topk", "none")]
)
def test_half_precision_is_widened_before_any_product(tmp_path: Path, architecture, normalisation, dtype) -> None:
    config = config_of(architecture, normalisation, dtype=str(dtype).removeprefix("torch."))
    weights = make_weights(architecture, dtype)
    sae = load_pretrained(write(tmp_path / "sae", config, weights, dtype)).sae
    assert_naive(sae, config, weights)


@pytest.mark.parametrize("key", ["activation_fn", "activation_fn_str"])
@pytest.mark.parametrize(
    ("architecture", "normalisation"),
    [("standard", "none"), ("jumprelu", "none"), ("gated", "none"), ("standard", "layer_norm")],
)
def test_tanh_relu_of_versions_before_6(tmp_path: Path, key: str, architecture: str, normalisation: str) -> None:
    old = {
        key: "tanh-relu",
        "metadata": {},
        "sae_lens_training_version": "3.0.0",
        "hook_point": "blocks.3.hook_mlp_out",
    }
    folder, config, weights = case(tmp_path / "sae", architecture, normalisation, **old)
    loaded = load_pretrained(folder)
    assert loaded.hookpoint == "mlp_out.3"
    assert_naive(loaded.sae, config, weights, tanh=True)


@pytest.mark.parametrize("normalisation", ["none", "expected_average_only_in", "layer_norm"])
@pytest.mark.parametrize("kind", ["batchtopk", "matryoshka_batchtopk"])
def test_checkpoints_of_batchtopk_are_the_jumprelu_they_become(tmp_path: Path, kind: str, normalisation: str) -> None:
    options = {"k": 3.0, "rescale_acts_by_decoder_norm": True, "topk_threshold_lr": 0.01, "decoder_init_norm": 0.1}
    if kind.startswith("m"):
        options["matryoshka_widths"] = [8, naive.D_SAE]
    config = config_of(kind, normalisation, **options)
    weights = make_weights("topk")
    write(tmp_path / "sae", config, weights | {"topk_threshold": np.array(0.4)})
    write_factor(tmp_path / "sae")
    norms = np.linalg.norm(weights["W_dec"], axis=1)
    folded = {"W_enc": weights["W_enc"] * norms, "b_enc": weights["b_enc"] * norms, "b_dec": weights["b_dec"]}
    folded |= {"W_dec": weights["W_dec"] / norms[:, None], "threshold": np.full(naive.D_SAE, 0.4)}
    assert_naive(load_pretrained(tmp_path / "sae").sae, config_of("jumprelu", normalisation), folded)


@pytest.mark.parametrize("options", [{}, {"rescale_acts_by_decoder_norm": False}])
@pytest.mark.parametrize("kind", ["batchtopk", "matryoshka_batchtopk"])
def test_checkpoints_of_batchtopk_before_norms_counted(tmp_path: Path, kind: str, options: dict) -> None:
    """The first versions 6 do not write the key; sae-lens's default of today, true, makes another SAE of them."""
    config = config_of(kind, **options, k=3.0, topk_threshold_lr=0.01, decoder_init_norm=0.1)
    if kind.startswith("m"):
        config["matryoshka_widths"] = [8, naive.D_SAE]
    weights = make_weights("topk")
    write(tmp_path / "sae", config, weights | {"topk_threshold": np.array(0.4)})
    same = weights | {"threshold": np.full(naive.D_SAE, 0.4)}
    assert_naive(load_pretrained(tmp_path / "sae").sae, config_of("jumprelu"), same)


def test_whitening_of_a_checkpoint_is_folded(tmp_path: Path) -> None:
    random = torch.Generator().manual_seed(0)
    mean = torch.randn(naive.D_MODEL, generator=random, dtype=torch.float64)
    matrix = torch.randn(naive.D_MODEL, naive.D_MODEL, generator=random, dtype=torch.float64)
    inverse = torch.linalg.inv(matrix)
    folder, config, weights = case(tmp_path / "sae", "gated", "covariance_whitening")
    with pytest.raises(ArtifactError, match=r"Put activation_whitening\.safetensors of its training checkpoint"):
        load_pretrained(folder)
    scaler = ActivationScaler(whitening=ActivationWhitening(mean, matrix, inverse))
    scaler.save(str(folder / "activation_scaler.json"))
    white = (ROWS - mean.numpy()) @ matrix.numpy()
    latents, output = naive.naive(config | {"normalize_activations": "none"}, weights, white)
    fires, result = run(load_pretrained(folder).sae)
    assert np.array_equal(fires, latents != 0)
    np.testing.assert_allclose(result, output @ inverse.numpy() + mean.numpy(), rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize("architecture", ["gated", "topk"])
def test_a_factor_that_nobody_has_is_asked_for(tmp_path: Path, architecture: str) -> None:
    folder, config, weights = case(tmp_path / "sae", architecture, "expected_average_only_in")
    for content in (json.dumps({"scaling_factor": None}), None):
        (folder / "activation_scaler.json").write_text(content) if content else (
            folder / "activation_scaler.json"
        ).unlink()
        with pytest.raises(ArtifactError, match=r"one factor .*activation_scaler\.json .*\"scaling_factor\": F"):
            load_pretrained(folder)
    write_factor(folder, -1.0)
    with pytest.raises(ArtifactError, match=r"the factor of its activations is -1\.0, no positive number"):
        load_pretrained(folder)
    (folder / "activation_scaler.json").unlink()
    store = {"estimated_norm_scaling_factor": torch.tensor(FACTOR), "n_dataset_processed": torch.tensor(3)}
    save_file(store, folder / "activations_store_state.safetensors")  # of versions before 6
    loaded = load_pretrained(folder)
    assert_naive(loaded.sae, config, weights, factor=float(np.float32(FACTOR)))
    assert loaded.norm_scaling_factor == pytest.approx(FACTOR)
    assert set(loaded.source["sha256"]) == {
        "cfg.json",
        "sae_weights.safetensors",
        "activations_store_state.safetensors",
    }


@pytest.fixture
def published(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Make a folder of a repository the only content of an offline hub cache."""
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.setenv("DARKMATTER_HUB_OFFLINE", "1")

    def put(repo: str) -> Path:
        place = tmp_path / "hub" / f"models--{repo.replace('/', '--')}"
        (place / "refs").mkdir(parents=True)
        (place / "refs" / "main").write_text("a" * 40)
        return place / "snapshots" / ("a" * 40)

    return put


def test_the_factor_of_the_registry(published) -> None:
    folder = published("tommmcgrath/gpt2-small-mlp-out-saes") / "sae_group_gpt2_blocks.0.hook_mlp_out_24576:v1"
    for architecture in ("gated", "standard"):
        _, config, weights = case(folder / architecture, architecture, "expected_average_only_in")
        for file in ("cfg.json", "sae_weights.safetensors"):
            (folder / architecture / file).replace(folder / file)
        loaded = load_pretrained("gpt2-small-mlp-tm/blocks.0.hook_mlp_out")
        assert loaded.norm_scaling_factor == pytest.approx(1.0493173)
        assert_naive(loaded.sae, config, weights, factor=loaded.norm_scaling_factor)


def test_the_factor_beside_the_weights_in_a_repository(published) -> None:
    folder = published("someone/saes") / "layer_3"
    _, config, weights = case(folder, "gated", "expected_average_only_in")
    loaded = load_pretrained("someone/saes:layer_3")
    assert loaded.source["sha256"].keys() == {"cfg.json", "sae_weights.safetensors", "activation_scaler.json"}
    assert_naive(loaded.sae, config, weights)
    (folder / "activation_scaler.json").unlink()
    with pytest.raises(ArtifactError, match=r"Put activation_scaler\.json of its training checkpoint beside it"):
        load_pretrained("someone/saes:layer_3")


def test_what_the_registry_corrects_in_a_file_holds(published) -> None:
    folder = published("JoshEngels/Mistral-7B-Residual-Stream-SAEs") / "mistral_7b_layer_8"
    _, config, weights = case(folder, "standard")
    sae = load_pretrained("mistral-7b-res-wg/blocks.8.hook_resid_pre").sae
    assert_naive(sae, config | {"normalize_activations": "constant_norm_rescale"}, weights)


OLD = {"metadata": {}, "hook_name": "blocks.3.hook_resid_post", "hook_layer": 3}
TRANSCODER = "it is a transcoder: it predicts another activation than it reads"
REFUSED = {  # what is refused, why, and what differs in a file that is taken
    "target": ("standard", OLD | {"hook_name_out": "a"}, TRANSCODER, {"hook_name_out": "blocks.3.hook_resid_post"}),
    "target in metadata": (
        "topk",
        {"metadata": {"sae_lens_version": "6.0.0", "hook_name": "a", "hook_name_out": "b"}},
        TRANSCODER,
        {"metadata": {"sae_lens_version": "6.0.0", "hook_name": "a", "hook_name_out": "a"}},
    ),
    "layer": ("standard", OLD | {"hook_layer_out": 4}, TRANSCODER, {"hook_layer_out": 3}),
    "width": ("standard", OLD | {"d_out": 16}, TRANSCODER, {"d_out": naive.D_MODEL}),
    "flag": ("standard", OLD | {"is_transcoder": True}, TRANSCODER, {"is_transcoder": False}),
    "older target": ("standard", OLD | {"out_hook_point": "b"}, TRANSCODER, {"out_hook_point": None}),
    "transcoder": ("skip_transcoder", {}, TRANSCODER, {"architecture": "standard"}),
    "temporal": ("temporal", {}, "its codes depend on the tokens before", {"architecture": "standard"}),
    "function": ("standard", OLD | {"activation_fn": "gelu"}, "`activation_fn` is 'gelu'", {"activation_fn": "relu"}),
    "functions": (
        "standard",
        OLD | {"activation_fn": "relu", "activation_fn_str": "tanh-relu"},
        "is 'relu' and 'tanh-relu'",
        {"activation_fn": "tanh-relu"},
    ),
    "gated topk": (
        "gated",
        OLD | {"activation_fn_str": "topk", "activation_fn_kwargs": {"k": 3}},
        "`activation_fn` is 'topk' and architecture 'gated'",
        {"activation_fn_str": "relu", "activation_fn_kwargs": {}},
    ),
    "tanh in 6": ("standard", {"activation_fn": "tanh-relu"}, "sae-lens 6, which goes with", {"activation_fn": None}),
    "post": (
        "topk",
        {"activation_fn_kwargs": {"k": 3, "postact_fn": "Identity()"}},
        r"`activation_fn_kwargs.postact_fn` is 'Identity\(\)'",
        {"activation_fn_kwargs": {"k": 3, "postact_fn": "ReLU()"}},
    ),
    "two k": ("topk", {"activation_fn_kwargs": {"k": 4}}, "which one holds is", {"activation_fn_kwargs": {"k": 3}}),
    "part of a latent": ("topk", {"k": 3.5}, "`k` of TopK is 3.5, no whole number", {"k": 3}),
    "version": (
        "standard",
        OLD | {"sae_lens_version": "latest"},
        "`sae_lens_version` is 'latest', which says no version",
        {"sae_lens_version": "3.0.0"},
    ),
    "word": ("gated", {"normalize_activations": "rms"}, "is 'rms', none of none", {"normalize_activations": False}),
    "rescaled": (
        "jumprelu",
        {"rescale_acts_by_decoder_norm": True},
        "for TopK alone",
        {"rescale_acts_by_decoder_norm": False},
    ),
    "error": ("standard", {"use_error_term": True}, "adds the error back", {"use_error_term": False}),
    "unknown": ("gated", {"input_scale": 2.0}, "`input_scale` is 2.0: nothing here knows", {"input_scale": None}),
    "unknown in metadata": (
        "gated",
        {"metadata": {"sae_lens_version": "6.0.0", "input_scale": 2.0}},
        "`metadata.input_scale` is 2.0",
        {"metadata": {"sae_lens_version": "6.0.0", "input_scale": None, "prepend_bos": True}},
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", REFUSED)
def test_refused_by_name_and_its_twin_taken(tmp_path: Path, name: str) -> None:
    architecture, asked, message, taken = REFUSED[name]
    for twin, changed in (("refused", asked), ("taken", asked | taken)):
        config = config_of(architecture) | changed
        folder = write(tmp_path / twin, config, make_weights(config["architecture"]))
        if twin == "taken":
            assert_naive(load_pretrained(folder).sae, config, make_weights(config["architecture"]),
                         tanh="tanh-relu" in changed.values())  # fmt: skip
        else:
            with pytest.raises(ArtifactError, match=message):
                load_pretrained(folder)


@pytest.mark.parametrize("name", ["scaling_factor", "finetuning_scaling_factor"])
def test_the_factors_of_latents_that_finetuning_left(tmp_path: Path, name: str) -> None:
    """(latents · factors) @ W_dec + b_dec, as versions 1 to 5 compute it."""
    weights = make_weights("standard")
    gains = np.random.default_rng(2).uniform(0.5, 2, naive.D_SAE).astype(np.float32).astype(float)
    for number, facts in enumerate((OLD, OLD | {"finetuning_scaling_factor": True})):
        config = config_of("standard", **facts)
        folder = write(tmp_path / f"finetuned {number}", config, weights | {name: gains})
        assert_naive(load_pretrained(folder).sae, config, weights | {"W_dec": weights["W_dec"] * gains[:, None]})
    config = config_of("standard", **OLD, finetuning_scaling_factor=False)
    ones = write(tmp_path / "ones", config, weights | {name: np.ones(naive.D_SAE)})
    assert_naive(load_pretrained(ones).sae, config, weights)
    other = write(tmp_path / "other", config, weights | {name: gains})
    with pytest.raises(ArtifactError, match=f"{name} multiplies each latent's value, but .* is false"):
        load_pretrained(other)
    both = {"scaling_factor": gains, "finetuning_scaling_factor": gains}
    with pytest.raises(ArtifactError, match="nothing here uses finetuning_scaling_factor"):
        load_pretrained(write(tmp_path / "both", config_of("standard", **OLD), weights | both))


@pytest.mark.parametrize("normalisation", ["none", "layer_norm"])
def test_factors_of_latents_that_are_asked_for_and_not_there(tmp_path: Path, normalisation: str) -> None:
    """sae-lens 6 drops the key, and its numbers are those of another SAE."""
    facts, weights = OLD | {"normalize_activations": normalisation}, make_weights("standard")
    asked = config_of("standard", **facts, finetuning_scaling_factor=True)
    with pytest.raises(ArtifactError, match=r"is true, but the weights have no .* set the key to false in a copy"):
        load_pretrained(write(tmp_path / "asked", asked, weights))
    config = config_of("standard", **facts, finetuning_scaling_factor=False)
    assert_naive(load_pretrained(write(tmp_path / "sae", config, weights)).sae, config, weights)


def test_factors_of_latents_in_an_sae_that_sae_lens_runs(tmp_path: Path) -> None:
    """sae-lens no longer applies them; in the rows of W_dec they do the same."""
    weights, gains = make_weights("gated"), np.random.default_rng(2).uniform(0.5, 2, naive.D_SAE)
    config = config_of("gated", **OLD, finetuning_scaling_factor=True)
    with pytest.raises(ArtifactError, match=r"a factor of each latent's value .* Multiply the rows of W_dec by it"):
        load_pretrained(write(tmp_path / "gains", config, weights | {"finetuning_scaling_factor": gains}))
    folded, config = (
        weights | {"W_dec": weights["W_dec"] * gains[:, None]},
        config | {"finetuning_scaling_factor": False},
    )
    assert_naive(load_pretrained(write(tmp_path / "folded", config, folded)).sae, config, folded)


def test_topk_of_old_files_without_a_k(tmp_path: Path) -> None:
    config = config_of("standard", **OLD | {"activation_fn_str": "topk"})
    with pytest.raises(ArtifactError, match="`k` of TopK is None, no whole number"):
        load_pretrained(write(tmp_path / "sae", config, make_weights("standard")))


def test_an_object_that_gives_sparse_tensors(tmp_path: Path) -> None:
    """A TopK SAE of sae-lens in training does."""
    folder, _, weights = case(tmp_path / "sae", "topk", rescale_acts_by_decoder_norm=True)
    right = decompose(X, load_pretrained(folder).sae, **QUICK)
    sae = TopKTrainingSAE(
        TopKTrainingSAEConfig(k=naive.K, d_in=naive.D_MODEL, d_sae=naive.D_SAE, use_sparse_activations=True)
    )
    sae.load_state_dict({name: torch.tensor(array).float() for name, array in weights.items()})
    assert sae.encode(torch.from_numpy(ROWS)).is_sparse
    results = decompose(X, sae, **QUICK)
    np.testing.assert_allclose(*(values(json.loads(result.to_json())) for result in (results, right)), rtol=1e-5)


def test_every_key_that_sae_lens_writes_is_known() -> None:
    """A key of a newer version stops here before it stops a user."""
    known = {option.name for option in OPTIONS}
    assert len(known) == len(OPTIONS)
    kinds = {**SAE_CLASS_REGISTRY, **{f"training {name}": kind for name, kind in SAE_TRAINING_CLASS_REGISTRY.items()}}
    for name, (kind, config) in kinds.items():
        own = kind.__module__.startswith("sae_lens.")  # a class may be registered by others
        if own and "transcoder" not in name and name != "temporal":
            assert {field.name for field in dataclasses.fields(config)} - {"metadata"} <= known, name
    run_of = {field.name for field in dataclasses.fields(LanguageModelSAERunnerConfig)} - {"sae"}
    assert run_of | {field.name for field in dataclasses.fields(LoggingConfig)} <= known
    assert {f"metadata.{name}" for name in ("hook_name", "hook_name_out", "context_size", "seqpos_slice")} <= known
    package = Path(inspect.getfile(sae_lens)).parent
    sources = [path.read_text(encoding="utf-8") for path in package.rglob("*.py")]
    assigned = {name for source in sources for name in re.findall(r"cfg\.metadata\.(\w+) = ", source)}
    assert "l0" in assigned  # what its trainer measures as it saves
    assert {f"metadata.{name}" for name in assigned} <= known


def test_the_whole_configuration_of_an_old_run_changes_nothing(tmp_path: Path) -> None:
    noise = {option.name: "something" for option in OPTIONS if option.use == "no effect" and "." not in option.name}
    folder, config, weights = case(tmp_path / "sae", "standard", **OLD | noise | {"dtype": "torch.float32"})
    assert_naive(load_pretrained(folder).sae, config, weights)


@pytest.mark.parametrize(("architecture", "normalisation"), [("gated", "none"), ("standard", "layer_norm")])
def test_measured_as_sae_lens_computes_it_and_refused_by_the_graph(
    tmp_path: Path, architecture: str, normalisation: str
) -> None:
    """Latents ±e_i, which rebuild every row."""
    both = np.concatenate([np.eye(naive.D_MODEL), -np.eye(naive.D_MODEL)])
    zeros = np.zeros(len(both))
    biases = {"b_gate": zeros, "b_mag": zeros, "r_mag": zeros} if architecture == "gated" else {"b_enc": zeros}
    weights = {"W_enc": both.T, "W_dec": both, "b_dec": np.zeros(naive.D_MODEL), **biases}
    folder = write(tmp_path / "sae", config_of(architecture, normalisation, d_sae=len(both)), weights)
    measured = load_pretrained(folder, rows=ROWS).measured
    assert (measured.rows, measured.l0) == (len(ROWS), naive.D_MODEL)
    assert measured.explained_variance == pytest.approx(1, abs=1e-6)
    with pytest.raises(ArtifactError, match=r"rows of shape \[.*, 7\]"):
        load_pretrained(folder, rows=ROWS[:, 1:])
    np.save(tmp_path / "x.npy", X)
    arguments = {"reference": str(folder), "group": "g", "hookpoint": "resid_post.3", "architecture": "relu", "k": None}
    arguments |= {
        "d_sae": len(both),
        "nominal_l0": None,
        "manifest": None,
        "pinned": None,
        "activations": str(tmp_path / "x.npy"),
    }
    with pytest.raises(ArtifactError, match=r"cannot stand in the graph\. `darkmatter decompose --sae` runs it"):
        adopt_sae(tmp_path, **arguments)
    with pytest.raises(ArtifactError, match=r"cannot stand in the graph\. `darkmatter decompose --sae` runs it"):
        read_sae_lens({"cfg.json": folder / "cfg.json"})


def test_what_an_object_in_memory_says_of_itself(tmp_path: Path) -> None:
    folder, _, _ = case(tmp_path / "sae", "gated")
    sae = SAE.load_from_disk(folder)
    check_declared(sae, naive.D_MODEL)
    for word, advice in (
        ("expected_average_only_in", r"fold_activation_norm_scaling_factor\(d_model\*\*0\.5 / mean_norm\)"),
        ("covariance_whitening", r"fold_activation_whitening\(mean, matrix, inverse_matrix\)"),
    ):
        sae.cfg.normalize_activations = word
        with pytest.raises(ArtifactError, match=advice):
            check_declared(sae, naive.D_MODEL)
    sae.fold_activation_norm_scaling_factor(FACTOR)
    check_declared(sae, naive.D_MODEL)  # the advice was followed
    shape = {"d_in": naive.D_MODEL, "d_sae": naive.D_SAE, "k": 3}
    batch = BatchTopKTrainingSAE(BatchTopKTrainingSAEConfig(**shape))
    with pytest.raises(ArtifactError, match=r"depends on the other rows of its batch\. Save it with"):
        check_declared(batch, naive.D_MODEL)
    batch.save_inference_model(tmp_path / "saved")
    check_declared(load_pretrained(tmp_path / "saved").sae, naive.D_MODEL)
    batch.cfg = MatryoshkaBatchTopKTrainingSAEConfig(**shape, matryoshka_widths=[naive.D_SAE])
    with pytest.raises(ArtifactError, match="matryoshka_batchtopk as it is trained"):
        check_declared(batch, naive.D_MODEL)
    sae.cfg.metadata.hook_name_out = "blocks.3.hook_mlp_out"
    with pytest.raises(ArtifactError, match=r"predicts blocks\.3\.hook_mlp_out: it is a transcoder"):
        check_declared(sae, naive.D_MODEL)
    square = {"d_in": naive.D_MODEL, "d_sae": naive.D_SAE, "d_out": naive.D_MODEL}
    sae.cfg = TranscoderConfig(**square, apply_b_dec_to_input=False)
    with pytest.raises(ArtifactError, match="predicts another activation"):
        check_declared(sae, naive.D_MODEL)
