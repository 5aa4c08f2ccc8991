"""Models: what was saved comes back bit by bit, and nothing else is loaded."""

import itertools
import json
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from tiny_gguf import write_gguf

from darkmatter.models.load import byte_tokenizer, load_model, load_tokenizer, random_model, read_gguf, save_model
from darkmatter.params.data import Model
from darkmatter.storage.artifacts import ArtifactError, sha256_file, sha256_path, write_json

FACTS = {"label": "test", "source": "random", "package": None}
SIZES = {
    "vocab_size": 258,
    "hidden_size": 24,
    "intermediate_size": 48,
    "num_hidden_layers": 3,
    "num_attention_heads": 2,
    "num_key_value_heads": 1,
    "max_position_embeddings": 64,
}
IDS = torch.arange(40).reshape(2, 20)


def spec(architecture: str = "llama", seed: int = 0, **config: int) -> Model:
    extra = {"head_dim": 12, "sliding_window": 16} if architecture == "gemma2" else {}
    config = {**SIZES, **extra, **config}
    return Model(source="random", label="test", architecture=architecture, config=config, seed=seed)


def logits(model) -> torch.Tensor:
    with torch.no_grad():
        return model.eval()(IDS).logits


@pytest.fixture(scope="module", params=["llama", "gemma2"])
def saved(request, tmp_path_factory):
    """(folder, model as it was before saving)"""
    folder = tmp_path_factory.mktemp(request.param)
    model, tokenizer = random_model(spec(request.param))
    save_model(folder, model, tokenizer, FACTS)
    return folder, model


@pytest.fixture
def copy(saved, tmp_path):
    return shutil.copytree(saved[0], tmp_path / "model")


def restamp(folder: Path) -> None:
    """Make the manifest agree with the files, as a careful forger would."""
    manifest = json.loads((folder / "manifest.json").read_text())
    manifest["files"] = {name: sha256_file(folder / name) for name in manifest["files"]}
    manifest["tokenizer_sha256"] = manifest["files"]["tokenizer.json"]
    write_json(folder / "manifest.json", manifest)


def test_reloaded_logits_are_bit_equal(saved):
    folder, model = saved
    again = load_model(folder)
    assert torch.equal(logits(again), logits(model))
    assert not again.training and not any(weight.requires_grad for weight in again.parameters())
    assert {weight.dtype for weight in again.parameters()} == {torch.float32}


def test_every_layer_of_a_random_model_changes_the_residual_stream(saved):
    with torch.no_grad():
        states = saved[1](IDS, output_hidden_states=True).hidden_states[:-1]
    for before, after in itertools.pairwise(states):
        assert (after - before).norm() > 0.3 * before.norm()


def test_the_manifest_names_every_file(saved):
    folder, _ = saved
    manifest = json.loads((folder / "manifest.json").read_text())
    assert set(manifest["files"]) == {path.name for path in folder.iterdir()} - {"manifest.json"}
    assert (manifest["d_model"], manifest["layers"], manifest["vocab_size"]) == (24, 3, 258)
    assert all(path.stat().st_mode & 0o044 == 0o044 for path in folder.iterdir())


def test_one_seed_gives_one_folder_and_leaves_the_global_generator_alone(tmp_path):
    state = torch.get_rng_state()
    for name, seed in (("a", 0), ("b", 0), ("c", 1)):
        (tmp_path / name).mkdir()
        save_model(tmp_path / name, *random_model(spec(seed=seed)), FACTS)
    assert torch.equal(torch.get_rng_state(), state)
    assert sha256_path(tmp_path / "a") == sha256_path(tmp_path / "b") != sha256_path(tmp_path / "c")


@pytest.mark.parametrize("add_bos", [False, True])
def test_bytes_round_trip_and_bos_is_added_only_where_asked(add_bos):
    tokenizer = byte_tokenizer(add_bos)
    text = "Ünï\ncode\x00 🙂 <b>"
    ids = tokenizer(text)["input_ids"]
    assert len(ids) == len(text.encode()) + add_bos and len(tokenizer) == 258
    assert (ids[0] == tokenizer.bos_token_id) == add_bos
    assert tokenizer.decode(ids[add_bos:]) == text


def test_a_gemma_tokenizer_still_adds_bos_after_reload(saved):
    folder, model = saved
    ids = load_tokenizer(folder)("abc")["input_ids"]
    assert len(ids) == 3 + (model.config.model_type == "gemma2")


@pytest.mark.parametrize("name", ["model.safetensors", "config.json", "tokenizer.json"])
def test_a_changed_or_missing_file_is_refused(copy, name):
    content = bytearray((copy / name).read_bytes())
    content[-2] ^= 1
    (copy / name).write_bytes(content)
    with pytest.raises(ArtifactError, match=f"{name} is not the file that manifest"):
        load_model(copy)
    (copy / name).unlink()
    with pytest.raises(ArtifactError, match=f"{name} is missing"):
        load_model(copy)


def test_missing_unexpected_and_misshapen_tensors_are_refused(copy):
    path = copy / "model.safetensors"
    weights = load_file(path)
    name = "model.layers.1.mlp.down_proj.weight"
    for broken in (
        {key: value for key, value in weights.items() if key != name},
        weights | {"model.layers.7.mlp.down_proj.weight": weights[name].clone()},
        weights | {name: weights[name][:, :-1].clone()},
    ):
        save_file(broken, path, metadata={"format": "pt"})
        restamp(copy)
        with pytest.raises(ArtifactError, match=r"down_proj|mismatch"):
            load_model(copy)
    save_file(weights, path, metadata={"format": "pt"})
    restamp(copy)
    load_model(copy)


def test_truncated_weights_are_refused(copy):
    path = copy / "model.safetensors"
    path.write_bytes(path.read_bytes()[:-100])
    restamp(copy)
    with pytest.raises(ArtifactError, match="cannot be loaded"):
        load_model(copy)


def test_another_models_tokenizer_is_refused(copy):
    tokenizer = byte_tokenizer(add_bos=False)
    tokenizer.add_tokens(["more", "tokens"])
    tokenizer.save_pretrained(copy)
    with pytest.raises(ArtifactError, match="not the file that manifest"):
        load_tokenizer(copy)
    restamp(copy)
    assert len(load_tokenizer(copy)) == 260  # more than the embedding: `check_ids` looks at the tokens that are used


def test_only_float32_is_saved(tmp_path):
    model, tokenizer = random_model(spec())
    with pytest.raises(ArtifactError, match="weights, expected float32"):
        save_model(tmp_path, model.half(), tokenizer, FACTS)
    save_model(tmp_path, model.float(), tokenizer, FACTS)


def test_impossible_random_models_are_one_clear_error():
    with pytest.raises(ArtifactError, match=r"vocab_size is 300; the byte tokenizer .* has 258"):
        random_model(spec(vocab_size=300))
    with pytest.raises(ArtifactError, match=r"model\.config does not describe a llama model"):
        random_model(spec(hidden_size=25))


def test_code_beside_the_weights_never_runs(copy):
    (copy / "evil.py").write_text("raise SystemExit('executed')\n")
    config = json.loads((copy / "config.json").read_text())
    config["auto_map"] = {"AutoModelForCausalLM": "evil.Evil", "AutoConfig": "evil.Evil"}
    (copy / "config.json").write_text(json.dumps(config))
    restamp(copy)
    load_model(copy)


def test_nothing_asks_the_hub():
    code = (
        "import stages.model; from huggingface_hub import constants as c; "
        "print(c.HF_HUB_OFFLINE, c.HF_HUB_DISABLE_IMPLICIT_TOKEN)"
    )
    root = Path(__file__).parents[2]
    result = subprocess.run([sys.executable, "-c", code], cwd=root, capture_output=True, text=True, check=True)
    assert result.stdout.split() == ["True", "True"]


def test_a_quantised_gguf_turns_into_plain_float32_and_reloads_bit_equal(tmp_path):
    exact = write_gguf(tmp_path / "tiny.gguf")
    model, tokenizer = read_gguf(tmp_path / "tiny.gguf")
    (tmp_path / "model").mkdir()
    save_model(tmp_path / "model", model, tokenizer, FACTS)
    again = load_model(tmp_path / "model")
    assert torch.equal(logits(again), logits(model))
    assert np.array_equal(again.model.layers[0].mlp.down_proj.weight.numpy(), exact["blk.0.ffn_down"])
    assert not hasattr(again.config, "quantization_config")
    assert load_tokenizer(tmp_path / "model").decode(tokenizer("abacus")["input_ids"]) == "abacus"


@pytest.mark.parametrize("content", [b"", b"GGUF", b"not a model" * 1000])
def test_what_is_no_gguf_is_refused(tmp_path, content):
    (tmp_path / "bad.gguf").write_bytes(content)
    with pytest.raises(ArtifactError, match=r"bad\.gguf is not a GGUF model"):
        read_gguf(tmp_path / "bad.gguf")


def test_a_truncated_gguf_is_refused(tmp_path):
    write_gguf(tmp_path / "cut.gguf")
    content = (tmp_path / "cut.gguf").read_bytes()
    (tmp_path / "cut.gguf").write_bytes(content[: len(content) // 2])
    with pytest.raises(ArtifactError, match=r"cut\.gguf is not a GGUF model"):
        read_gguf(tmp_path / "cut.gguf")
