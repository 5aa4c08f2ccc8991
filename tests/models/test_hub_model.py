"""Models of the hub, and the first four stages on a hub of this machine, from its files to activations."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
import transformers
from fake_hub import COMMIT
from hub_case import MODEL, publish_model, publish_text, run_stage
from profiles import profile_params
from safetensors.torch import load_file

from darkmatter.models.activation_files import open_activations
from darkmatter.models.hookpoints import capture, module_of, read
from darkmatter.models.hub_model import SUPPORTED, fetch_model, folder_model, write_hub_model
from darkmatter.models.load import byte_tokenizer, load_model, load_tokenizer, random_model
from darkmatter.params.data import Model
from darkmatter.sources.hub_access import OfflineError, TokenMissingError, WrongBytesError
from darkmatter.storage.artifacts import ArtifactError, open_array, read_json, sha256_file

SIZES = {"vocab_size": 259, "hidden_size": 16, "intermediate_size": 24, "num_hidden_layers": 3,
         "num_attention_heads": 2, "num_key_value_heads": 1, "head_dim": 8, "max_position_embeddings": 64}  # fmt: skip
IDS = torch.arange(40).reshape(2, 20)


def spec(dtype: str = "float32", **changes) -> Model:
    facts = {"source": "huggingface", "label": "test", "repo": MODEL, "revision": COMMIT, "dtype": dtype}
    return Model(**facts | changes)


def tiny(kind: str, dtype: torch.dtype = torch.float32):
    with torch.random.fork_rng():
        torch.manual_seed(0)
        config = transformers.CONFIG_MAPPING[kind](**SIZES)
        return transformers.AutoModelForCausalLM.from_config(config, dtype=dtype).eval()


@pytest.mark.parametrize("kind", SUPPORTED)
def test_each_supported_kind_comes_back_bit_equal_with_its_hookpoints(hub, tmp_path, kind):
    original = tiny(kind)
    publish_model(hub, original, byte_tokenizer(add_bos=True))
    (tmp_path / "model").mkdir()
    write_hub_model(tmp_path / "model", fetch_model(spec()), spec(), {"label": "test"})
    result = load_model(tmp_path / "model")
    ids = load_tokenizer(tmp_path / "model")("a")["input_ids"]
    assert ids[0] == 256
    whole = original(IDS, output_hidden_states=True, use_cache=False)
    assert torch.equal(result(IDS).logits, whole.logits)
    parts = read(result, IDS, ["resid_post.0", "attn_out.1", "mlp_out.1", "resid_post.1"])
    assert torch.equal(parts["resid_post.1"], whole.hidden_states[2])
    total = parts["resid_post.0"] + parts["attn_out.1"] + parts["mlp_out.1"]
    assert torch.allclose(total, parts["resid_post.1"], atol=1e-5)
    assert module_of(result, "resid_post.2") is result.model.layers[2]


@pytest.mark.parametrize(("published", "wanted"), [("bfloat16", "bfloat16"), ("float32", "bfloat16")])
def test_weights_keep_their_bytes_or_are_rounded_once(hub, tmp_path, published, wanted):
    original = tiny("llama", getattr(torch, published))
    folder = publish_model(hub, original, byte_tokenizer(add_bos=False))
    (tmp_path / "model").mkdir()
    write_hub_model(tmp_path / "model", fetch_model(spec(wanted)), spec(wanted), {"label": "test"})
    result = load_model(tmp_path / "model")
    assert {weight.dtype for weight in result.parameters()} == {getattr(torch, wanted)}
    for name, weight in original.state_dict().items():
        assert torch.equal(result.state_dict()[name], weight.to(getattr(torch, wanted)))
    manifest = read_json(tmp_path / "model" / "manifest.json")
    weights = [name for name in manifest["files"] if name.endswith(".safetensors")]
    assert len(weights) > 1 and manifest["dtype"] == wanted
    for name in weights:
        assert manifest["hub_files"][name] == sha256_file(folder / name)
        assert (manifest["files"][name] == manifest["hub_files"][name]) == (published == wanted)


def test_nothing_but_safetensors_configuration_and_tokenizer_is_downloaded(hub):
    publish_model(hub, tiny("llama"), byte_tokenizer(add_bos=False))
    files = fetch_model(spec())
    asked = {path.partition(f"{COMMIT}/")[2] for _, path, _ in hub.seen if "/resolve/" in path}
    assert asked == set(files) and not any(name.endswith((".bin", ".py")) or "/" in name for name in asked)
    hub.seen.clear()
    assert fetch_model(spec()) == files and not hub.seen


def test_unknown_kinds_and_pickles_are_refused_before_the_weights(hub):
    folder = publish_model(hub, tiny("llama"), byte_tokenizer(add_bos=False))
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config | {"model_type": "gpt_neox"}))
    with pytest.raises(ArtifactError, match=r"kind 'gpt_neox'.* Supported: gemma2, gemma3_text, llama"):
        fetch_model(spec())
    assert not any(path.endswith(".safetensors") for _, path, _ in hub.seen)
    for path in folder.glob("*.safetensors*"):
        path.unlink()
    with pytest.raises(ArtifactError, match="pickled weights are never loaded"):
        fetch_model(spec())


def test_a_folder_of_this_machine_is_pinned_by_the_hash_that_the_error_names(hub, tmp_path):
    folder = publish_model(hub, tiny("llama"), byte_tokenizer(add_bos=False))
    own = {"source": "folder", "label": "mine", "folder": str(folder), "dtype": "float32"}
    with pytest.raises(ArtifactError, match=r"say no sha256\. Its files are model\.sha256=") as result:
        folder_model(Model(**own))
    pinned = Model(**own, sha256=str(result.value).rpartition("=")[2])
    (tmp_path / "model").mkdir()
    write_hub_model(tmp_path / "model", folder_model(pinned), pinned, {"label": "mine"})
    assert torch.equal(load_model(tmp_path / "model")(IDS).logits, tiny("llama")(IDS).logits)
    assert not hub.seen and not list((tmp_path / "model").glob("*.py"))
    weights = next(folder.glob("model*.safetensors"))
    weights.write_bytes(weights.read_bytes()[:-1] + b"\1")
    with pytest.raises(ArtifactError, match=f"say sha256 {pinned.sha256}. Its files are model.sha256="):
        folder_model(pinned)


@pytest.mark.parametrize("damage", [lambda body: body[:-40], lambda body: b"\0" * len(body)])
def test_damaged_weights_are_one_clear_error(hub, tmp_path, damage):
    folder = publish_model(hub, tiny("llama"), byte_tokenizer(add_bos=False))
    path = next(folder.glob("*.safetensors"))
    path.write_bytes(damage(path.read_bytes()))
    with pytest.raises(ArtifactError, match="no safetensors file that can be read"):
        write_hub_model(tmp_path, fetch_model(spec()), spec(), {"label": "test"})


def test_four_stages_run_from_the_hub_and_again_without_it(hub, monkeypatch):
    """A gated model on another hub is open there; the first contexts of the shuffled Pile shards go through it."""
    params = profile_params("smoke-hub")
    original, tokenizer = random_model(params.model)
    folder = publish_model(hub, original.to(torch.bfloat16), tokenizer)
    publish_text(hub)

    for stage in ("corpus", "model", "tokens", "activations"):
        run_stage(stage, params)
    made = {path: sha256_file(path) for path in Path("data").rglob("*") if path.is_file() and "/." not in str(path)}

    documents = [json.loads(line) for line in Path("data/corpus/documents.jsonl").read_text().splitlines()]
    assert len(documents) == 60 and all(len(document["text"].encode()) >= 127 for document in documents)
    ids = open_array(Path("data/tokens/eval.npy"), (16, 128), "int32")
    facts = read_json(Path("data/tokens/manifest.json"))
    assert facts["begins_with_bos"] and "stream" in facts["balance"]
    assert [context["document"] for context in facts["contexts"]["eval"]] == [d["id"] for d in documents[:16]]
    assert [context["document"] for context in facts["contexts"]["train"]] == [d["id"] for d in documents[16:40]]
    assert tokenizer(documents[0]["text"])["input_ids"][:128] == ids[0].tolist()

    transformers_own = transformers.AutoModelForCausalLM.from_pretrained(
        folder, dtype="bfloat16", local_files_only=True
    )
    with torch.no_grad(), capture(transformers_own, ["resid_post.12"]) as captured:
        transformers_own(torch.from_numpy(ids[:4].astype(np.int64)))
    folder_of_shards = Path("data/activations/eval/resid_post.12")
    stored = open_activations(folder_of_shards, (16, 111, 24))
    size = sum(file.stat().st_size for file in folder_of_shards.iterdir())
    assert size < 2.1 * np.prod(stored.shape)  # bfloat16, as the model is
    assert np.array_equal(stored[:4], captured["resid_post.12"][:, 16:-1].float().numpy())
    assert np.isfinite(open_array(Path("data/activations/eval/loss.npy"), (16, 111))).all()

    # The pins are committed; the cache has the model, but of the text only blocks were read.
    monkeypatch.setenv("DARKMATTER_HUB_OFFLINE", "1")
    run_stage("model", params)
    with pytest.raises(OfflineError, match=r"hf download monology/pile-uncopyrighted train/.* --repo-type dataset"):
        run_stage("corpus", params)
    monkeypatch.setenv("DARKMATTER_HUB_OFFLINE", "")
    answers = iter([429, 503])
    hub.faults["jsonl.zst"] = lambda status, body: (next(answers, status), body)
    hub.cut.append("00.jsonl.zst")
    run_stage("corpus", params)
    assert not hub.cut and next(answers, None) is None
    assert {path: sha256_file(path) for path in made} == made

    hub.faults["jsonl.zst"] = lambda status, body: (status, body[:20] + b"\1" + body[21:])
    with pytest.raises(WrongBytesError, match="datasets--monology--pile-uncopyrighted"):
        run_stage("corpus", params)
    hub.gated.add(MODEL)
    for blob in Path("cache").rglob("blobs/*"):
        blob.unlink()
    with pytest.raises(TokenMissingError, match="unset HF_ENDPOINT"):
        run_stage("model", params)
    assert {path: sha256_file(path) for path in made} == made  # what failed left what was there


def test_the_saved_copy_has_the_hubs_tensors(hub, tmp_path):
    folder = publish_model(hub, tiny("gemma2", torch.bfloat16), byte_tokenizer(add_bos=True))
    files = fetch_model(spec("bfloat16"))
    (tmp_path / "model").mkdir()
    write_hub_model(tmp_path / "model", files, spec("bfloat16"), {"label": "test"})
    index = read_json(tmp_path / "model" / "model.safetensors.index.json")
    tensors = {name: load_file(folder / file)[name] for name, file in index["weight_map"].items()}
    for name, file in index["weight_map"].items():
        assert torch.equal(load_file(tmp_path / "model" / file)[name], tensors[name])
