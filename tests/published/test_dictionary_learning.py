"""SAEs of dictionary_learning give what the package's classes compute in float64; what would be askew is refused."""

import json
import os
from pathlib import Path

import numpy as np
import published_saes as published
import pytest
import torch
from fake_hub import COMMIT
from torch import nn

from darkmatter import decompose
from darkmatter.cli import main
from darkmatter.saes.published import registry
from darkmatter.saes.published.dictionary_learning import CLASSES
from darkmatter.saes.published.load import load_pretrained
from darkmatter.storage.artifacts import ArtifactError, read_json, write_json

D_MODEL, D_SAE, K, THRESHOLD = 12, 40, 5, 1.3
CONTEXTS, POSITIONS = 12, 60


def activations() -> np.ndarray:
    rng = np.random.default_rng(0)
    x = rng.normal(size=(CONTEXTS, POSITIONS, D_MODEL)) @ rng.normal(size=(D_MODEL, D_MODEL)) / 2
    return (x + rng.normal(size=D_MODEL) * 3).astype(np.float32)


X = activations()
ROWS = X.reshape(-1, D_MODEL)


class Linear(nn.Module):
    """Weights with nn.Linear's names; `gains` are the norms of the decoder's columns, which nothing depends on."""

    def __init__(self, bias: str, **buffers: torch.Tensor) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.encoder = nn.Linear(D_MODEL, D_SAE, bias=bias != "decoder_bias")
        self.decoder = nn.Linear(D_SAE, D_MODEL, bias=bias == "decoder.bias")
        b_dec = nn.Parameter(torch.from_numpy(ROWS.mean(0)) + 0.1)
        if bias == "decoder.bias":
            self.decoder.bias = b_dec
        else:
            self.register_parameter(bias, b_dec)
        columns = torch.randn(D_MODEL, D_SAE)
        self.decoder.weight = nn.Parameter(columns / columns.norm(dim=0) * torch.linspace(0.5, 1, D_SAE))
        self.encoder.weight = nn.Parameter(columns.T.clone() / columns.norm(dim=0)[:, None])
        for name, value in buffers.items():
            self.register_buffer(name, value)


class Parameters(nn.Module):
    def __init__(self, **buffers: torch.Tensor) -> None:
        super().__init__()
        like = Linear("b_dec")
        self.W_enc = nn.Parameter(like.encoder.weight.detach().T)  # a transposed view, as the package keeps it
        self.b_enc = nn.Parameter(like.encoder.bias.detach())
        self.W_dec = nn.Parameter(like.decoder.weight.detach().T.contiguous())
        self.b_dec = nn.Parameter(like.b_dec.detach())
        for name, value in buffers.items():
            self.register_buffer(name, value)


def set_of(threshold: float = THRESHOLD) -> dict[str, torch.Tensor]:
    return {"k": torch.tensor(K, dtype=torch.int), "threshold": torch.tensor(threshold)}


def gates() -> dict[str, torch.Tensor]:
    torch.manual_seed(1)
    vectors = ("r_mag", torch.randn(D_SAE) / 2), ("gate_bias", torch.randn(D_SAE) - 1), ("mag_bias", torch.randn(D_SAE))
    return dict(vectors)


def state_of(name: str) -> dict[str, torch.Tensor]:
    match name:
        case "AutoEncoder":
            return Linear("bias").state_dict()
        case "AutoEncoderNew":
            return Linear("decoder.bias").state_dict()
        case "AutoEncoderTopK" | "BatchTopKSAE":
            return Linear("b_dec", **set_of()).state_dict()
        case "MatryoshkaBatchTopKSAE" | "MatroyshkaBatchTopKSAE":
            return Parameters(**set_of(), group_sizes=torch.tensor([10, 30])).state_dict()
        case "JumpReluAutoEncoder":
            return Parameters(threshold=torch.linspace(-0.5, 2, D_SAE)).state_dict()
        case "GatedAutoEncoder":
            return Linear("decoder_bias", **gates()).state_dict()
    raise ValueError(name)


def reference(name: str, state: dict[str, torch.Tensor], rows: np.ndarray) -> tuple[torch.Tensor, torch.Tensor]:
    """(codes, Sae(x)) as the class computes them, in float64."""
    s = {key: value.double() for key, value in state.items()}
    x = torch.from_numpy(rows).double()
    match name:
        case "AutoEncoder":
            codes = torch.relu((x - s["bias"]) @ s["encoder.weight"].T + s["encoder.bias"])
            return codes, codes @ s["decoder.weight"].T + s["bias"]
        case "AutoEncoderNew":
            codes = torch.relu(x @ s["encoder.weight"].T + s["encoder.bias"])
            return codes, codes @ s["decoder.weight"].T + s["decoder.bias"]
        case "AutoEncoderTopK":
            post = torch.relu((x - s["b_dec"]) @ s["encoder.weight"].T + s["encoder.bias"])
            top = post.topk(K, dim=-1)
            codes = torch.zeros_like(post).scatter_(-1, top.indices, top.values)
            return codes, codes @ s["decoder.weight"].T + s["b_dec"]
        case "BatchTopKSAE":
            post = torch.relu((x - s["b_dec"]) @ s["encoder.weight"].T + s["encoder.bias"])
            codes = post * (post > s["threshold"])
            return codes, codes @ s["decoder.weight"].T + s["b_dec"]
        case "MatryoshkaBatchTopKSAE" | "MatroyshkaBatchTopKSAE":
            post = torch.relu((x - s["b_dec"]) @ s["W_enc"] + s["b_enc"])
            codes = post * (post > s["threshold"])
            return codes, codes @ s["W_dec"] + s["b_dec"]
        case "JumpReluAutoEncoder":
            pre = x @ s["W_enc"] + s["b_enc"]
            codes = torch.relu(pre * (pre > s["threshold"]))
            return codes, codes @ s["W_dec"] + s["b_dec"]
        case "GatedAutoEncoder":
            inner = (x - s["decoder_bias"]) @ s["encoder.weight"].T
            codes = (inner + s["gate_bias"] > 0) * torch.relu(s["r_mag"].exp() * inner + s["mag_bias"])
            return codes, codes @ s["decoder.weight"].T + s["decoder_bias"]
    raise ValueError(name)


def config(name: str, **changed: object) -> dict:
    facts = {"trainer_class": "Trainer", "dict_class": name, "activation_dim": D_MODEL, "dict_size": D_SAE, "k": K}
    facts |= {"layer": 3, "lm_name": "org/model", "submodule_name": "resid_post_layer_3", "lr": 1e-4, "seed": 0}
    buffer = {"d_submodule": D_MODEL, "io": "out", "n_ctxs": 10, "ctx_len": 128, "device": "cuda:0"}
    return {"trainer": facts | changed, "buffer": buffer}


def publish(folder: Path, name: str, state: dict | None = None, **changed: object) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    torch.save(state if state is not None else state_of(name), folder / "ae.pt")
    write_json(folder / "config.json", config(name, **changed))
    return folder


def dense(codes) -> np.ndarray:
    result = np.zeros((len(codes.l0), D_SAE), dtype=np.float32)
    used = np.arange(codes.index.shape[1]) < codes.l0[:, None]
    row = np.broadcast_to(np.arange(len(result))[:, None], used.shape)
    result[row[used], codes.index[used]] = codes.value[used]
    return result


@pytest.mark.parametrize("block_bytes", [4 * D_MODEL * 7, 64 << 20])
@pytest.mark.parametrize("name", CLASSES)
def test_each_class_is_as_the_package_computes_it(tmp_path, name, block_bytes):
    loaded = load_pretrained(publish(tmp_path, name), block_bytes=block_bytes)
    codes, output = reference(name, state_of(name), ROWS)
    result = loaded.sae.encode(ROWS)
    assert 2 < float((codes != 0).sum(1).double().mean()) < D_SAE - 2, "nothing is chosen in this test"
    assert np.array_equal(dense(result) != 0, codes.numpy() != 0)
    np.testing.assert_allclose(dense(result), codes, rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(loaded.sae.decode(result), output, rtol=1e-4, atol=1e-4)
    assert (loaded.d_sae, loaded.d_model, loaded.hookpoint) == (D_SAE, D_MODEL, "resid_post.3")
    expected = {"AutoEncoder": "relu", "AutoEncoderNew": "relu", "AutoEncoderTopK": "topk"}
    assert loaded.architecture == expected.get(name, "jumprelu")
    assert loaded.nominal_l0 == (K if "TopK" in name else None)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
def test_other_precisions(tmp_path, dtype):
    state = {
        name: value.to(dtype) if value.is_floating_point() else value
        for name, value in state_of("BatchTopKSAE").items()
    }
    loaded = load_pretrained(publish(tmp_path, "BatchTopKSAE", state))
    _, output = reference("BatchTopKSAE", state, ROWS)
    assert loaded.sae.weights.W_enc.dtype == str(dtype).removeprefix("torch.")
    np.testing.assert_allclose(loaded.sae.reconstruct(ROWS), output, rtol=1e-4, atol=1e-4)


def test_safetensors_beside_the_pickle_are_what_is_read(tmp_path):
    folder = published.sae_lens(tmp_path / "sae")
    publish(folder, "AutoEncoder")
    assert load_pretrained(folder).source["format"] == "sae-lens"
    assert load_pretrained(folder, format="dictionary-learning").architecture == "relu"


def test_topk_does_not_use_its_threshold(tmp_path):
    outputs = []
    for threshold in (-1.0, 0.0, 50.0):
        state = state_of("AutoEncoderTopK") | {"threshold": torch.tensor(threshold)}
        outputs.append(load_pretrained(publish(tmp_path, "AutoEncoderTopK", state)).sae.reconstruct(ROWS))
    assert np.array_equal(outputs[0], outputs[1]) and np.array_equal(outputs[0], outputs[2])
    before = {name: value for name, value in state_of("AutoEncoderTopK").items() if name not in ("k", "threshold")}
    old = load_pretrained(publish(tmp_path, "AutoEncoderTopK", before))  # k was no buffer at first
    assert np.array_equal(old.sae.reconstruct(ROWS), outputs[0])


@pytest.mark.parametrize("name", ["BatchTopKSAE", "MatryoshkaBatchTopKSAE"])
def test_a_threshold_that_training_has_not_set(tmp_path, name):
    for state in (
        state_of(name) | {"threshold": torch.tensor(-1.0)},
        {key: value for key, value in state_of(name).items() if key != "threshold"},
    ):
        with pytest.raises(ArtifactError, match=r"its threshold is -1, which training has not set.*BatchTopK"):
            load_pretrained(publish(tmp_path, name, state))
    zero = load_pretrained(publish(tmp_path, name, state_of(name) | {"threshold": torch.tensor(0.0)}))
    assert zero.sae.encode(ROWS).l0.max() > K


def test_groups_of_other_sizes(tmp_path):
    state = state_of("MatryoshkaBatchTopKSAE") | {"group_sizes": torch.tensor([10, 20])}
    with pytest.raises(ArtifactError, match="its groups have 30 latents, dict_size is 40"):
        load_pretrained(publish(tmp_path, "MatryoshkaBatchTopKSAE", state))


def test_k_of_another_sae(tmp_path):
    with pytest.raises(ArtifactError, match=r"k is 5, but 6 in config\.json"):
        load_pretrained(publish(tmp_path, "AutoEncoderTopK", k=6))
    annealed = load_pretrained(publish(tmp_path, "BatchTopKSAE", k=12, k_anneal_steps=100))
    assert annealed.nominal_l0 == K


REFUSED = {
    "class": ({"dict_class": "CrossCoder"}, r"dict_class 'CrossCoder' is none of AutoEncoder, "),
    "unknown key": ({"whiten": True}, r"`trainer\.whiten` is True: nothing here knows what it means"),
    "norm factor": ({"norm_factor": 3.5}, r"`trainer\.norm_factor` is 3\.5: nothing says whether"),
    "b_dec": ({"apply_b_dec_to_input": True}, r"`trainer\.apply_b_dec_to_input` is True"),
    "width": ({"dict_size": 41}, r"W_enc has latents × d_model \[40, 12\], expected \[41, 12\]"),
    "d_model": ({"activation_dim": 13}, r"W_enc has latents × d_model \[40, 12\], expected \[40, 13\]"),
    "layer": ({"layer": 4}, "`layer` is 4, but it is named resid_post_layer_3"),
    "keys": ({"dict_class": "AutoEncoderNew"}, r"ae\.pt has no decoder\.bias"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_configurations_that_would_be_read_askew(tmp_path, case):
    changed, message = REFUSED[case]
    with pytest.raises(ArtifactError, match=message):
        load_pretrained(publish(tmp_path, "AutoEncoder", **changed))


def test_what_changes_nothing_is_taken(tmp_path):
    changed = {
        "norm_factor": 1.0,
        "apply_b_dec_to_input": False,
        "whiten": None,
        "l1_penalty": 0.1,
        "steps": 9,
        "layer": None,
    }
    assert load_pretrained(publish(tmp_path, "AutoEncoder", **changed)).architecture == "relu"
    write_json(tmp_path / "config.json", {"trainer": config("AutoEncoder")["trainer"]})
    assert load_pretrained(tmp_path).hookpoint == "resid_post.3"


def test_a_transcoder_and_the_input_of_a_module(tmp_path):
    publish(tmp_path, "AutoEncoder")
    facts = config("AutoEncoder")
    write_json(tmp_path / "config.json", facts | {"buffer": {"io": "in_and_out"}})
    with pytest.raises(
        ArtifactError, match=r"`buffer\.io` is 'in_and_out': it reads one activation and predicts another"
    ):
        load_pretrained(tmp_path)
    write_json(tmp_path / "config.json", facts | {"buffer": {"io": "in"}})
    assert load_pretrained(tmp_path).hookpoint is None
    assert load_pretrained(publish(tmp_path, "AutoEncoder", submodule_name="mlp_layer_3")).hookpoint is None


def test_tensors_that_nothing_uses_and_other_types(tmp_path):
    state = state_of("AutoEncoder")
    with pytest.raises(ArtifactError, match=r"ae\.pt: nothing here uses scaling"):
        load_pretrained(publish(tmp_path, "AutoEncoder", state | {"scaling": torch.ones(3)}))
    with pytest.raises(ArtifactError, match=r"bias holds int32, expected floating-point numbers"):
        load_pretrained(publish(tmp_path, "AutoEncoder", state | {"bias": state["bias"].int()}))
    sizes = {"group_sizes": torch.tensor([10.0, 30.0])}
    with pytest.raises(ArtifactError, match="group_sizes holds float32, expected integers"):
        load_pretrained(publish(tmp_path, "MatryoshkaBatchTopKSAE", state_of("MatryoshkaBatchTopKSAE") | sizes))
    with pytest.raises(ArtifactError, match="holds no dict of tensors"):
        load_pretrained(publish(tmp_path, "AutoEncoder", [torch.zeros(3)]))
    short = state_of("GatedAutoEncoder") | {"r_mag": torch.zeros(3)}
    with pytest.raises(ArtifactError, match="other numbers of latents"):
        load_pretrained(publish(tmp_path, "GatedAutoEncoder", short))
    with pytest.raises(ArtifactError, match="holds NaN or infinity"):
        load_pretrained(publish(tmp_path, "AutoEncoder", state | {"bias": torch.full((D_MODEL,), torch.nan)}))


class Shell:
    def __init__(self, canary: Path) -> None:
        self.canary = canary

    def __reduce__(self):
        return os.system, (f"touch {self.canary}",)


def test_code_in_the_weights_never_runs(tmp_path, monkeypatch):
    monkeypatch.setenv("TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD", "1")
    canary = tmp_path / "canary"
    folder = publish(tmp_path / "sae", "AutoEncoder", state_of("AutoEncoder") | {"extra": Shell(canary)})
    with pytest.raises(ArtifactError, match=r"ae\.pt holds `posix\.system`.* nothing of it has run"):
        load_pretrained(folder)
    assert not canary.exists()
    torch.load(folder / "ae.pt", weights_only=False)
    assert canary.exists(), "the file is harmless, so this test shows nothing"


@pytest.mark.parametrize("name", ["BatchTopKSAE", "GatedAutoEncoder"])
def test_decompose_gives_the_fvu_of_the_reference(tmp_path, capsys, name):
    folder = publish(tmp_path / "sae", name)
    np.save(tmp_path / "acts.npy", X)
    arguments = ["--activations", str(tmp_path / "acts.npy"), "--sae", str(folder), "--max-fvu", "9"]
    main(["decompose", *arguments, "--threads", "1", "--json"])
    result = json.loads(capsys.readouterr().out)
    _, output = reference(name, state_of(name), ROWS)
    expected = decompose(X, reconstructions=output.float().reshape(X.shape), threads=1, max_fvu=9)
    for convention in ("paper", "authors"):
        for quantity in ("fvu", "fvu_nonlinear"):
            value = result["estimates"]["token"][convention][quantity]["value"]
            assert value == pytest.approx(expected.estimates["token"][convention][quantity]["value"], rel=1e-4)
    assert result["source"]["hookpoint"] == "resid_post.3"
    assert result["source"]["sae"]["format"] == "dictionary-learning"


def test_from_a_hub_by_its_name_in_the_registry_and_by_its_folder(hub, tmp_path):
    release = "sae_bench_pythia70m_sweep_topk_ctx128_0730"
    listed = registry.saes_of(release)[0]
    assert listed.format == "dictionary-learning"
    made = published.dictionary_learning(tmp_path)
    for repo, folder in ((listed.repo, listed.folder), ("someone/saes", "mine")):
        place = hub.root / repo / folder
        place.mkdir(parents=True)
        for file in made.iterdir():
            (place / file.name).write_bytes(file.read_bytes())
    facts = read_json(made / "config.json")
    facts["trainer"]["layer"] = 3
    write_json(hub.root / listed.repo / listed.folder / "config.json", facts)
    loaded = load_pretrained(f"{release}/{listed.id}", rows=published.rows())
    assert loaded.hookpoint == "resid_post.3" and set(loaded.source["sha256"]) == {"config.json", "ae.pt"}
    other = load_pretrained(f"someone/saes@{COMMIT}:mine")
    assert (other.source["format"], other.hookpoint) == ("dictionary-learning", None)
    assert np.array_equal(other.sae.reconstruct(published.rows()), loaded.sae.reconstruct(published.rows()))
    (hub.root / "someone" / "saes" / "model").mkdir()
    write_json(hub.root / "someone" / "saes" / "model" / "config.json", {"model_type": "llama"})
    with pytest.raises(ArtifactError, match=r"nor a config\.json of dictionary_learning, so its format is unknown"):
        load_pretrained(f"someone/saes@{COMMIT}:model")


def test_every_sae_of_the_package_in_the_registry_is_read():
    listed = [sae for release in registry.releases() for sae in registry.saes_of(release)]
    results = [sae for sae in listed if sae.loader == "dictionary_learning_1"]
    assert len(results) > 800 and {sae.format for sae in results} == {"dictionary-learning"}
