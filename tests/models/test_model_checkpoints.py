"""Checkpoints as people save them: without a head, wrapped in a model of images, in halves, in parts, incomplete."""

import json
import shutil
from pathlib import Path

import huggingface_hub.constants
import numpy as np
import pytest
import torch
import transformers
from safetensors.torch import load_file, save_file

from darkmatter.api.model_rows import open_model
from darkmatter.models.extract import extract, release_model
from darkmatter.models.hookpoints import read
from darkmatter.models.load import byte_tokenizer, load_model, load_tokenizer
from darkmatter.storage.artifacts import ArtifactError

TEXT = {"vocab_size": 259, "hidden_size": 16, "intermediate_size": 24, "num_hidden_layers": 3, "num_attention_heads": 2,
        "num_key_value_heads": 1, "head_dim": 8, "max_position_embeddings": 64, "initializer_range": 0.3}  # fmt: skip
IMAGES = {"hidden_size": 16, "intermediate_size": 24, "num_hidden_layers": 1, "num_attention_heads": 2}
IMAGES |= {"image_size": 28, "patch_size": 14}
IDS = torch.arange(48).reshape(2, 24)
KINDS = ("llama", "gemma2", "gemma3_text", "mistral", "qwen2")
COMMITS = ("0123456789abcdef0123456789abcdef01234567", "89abcdef0123456789abcdef0123456789abcdef")


@pytest.fixture(autouse=True)
def fresh():
    yield
    release_model()


def seeded(make, config, **options):
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return make(config, **options).eval()


def text_model(kind="llama", auto=transformers.AutoModel, **options):
    return seeded(auto.from_config, transformers.CONFIG_MAPPING[kind](**TEXT), **options)


def wrapped(kind):
    """A model of images and text around a tiny language model."""
    text = TEXT | {"model_type": {"gemma3": "gemma3_text", "llava": "llama", "mistral3": "mistral"}[kind]}
    match kind:
        case "gemma3":
            config = transformers.Gemma3Config(
                text_config=text | {"sliding_window": 8}, vision_config=IMAGES, mm_tokens_per_image=4
            )
        case "llava":
            vision = IMAGES | {"model_type": "clip_vision_model", "projection_dim": 16}
            config = transformers.LlavaConfig(text_config=text, vision_config=vision)
        case "mistral3":
            vision = IMAGES | {"model_type": "pixtral", "head_dim": 8}
            config = transformers.Mistral3Config(text_config=text, vision_config=vision)
    return seeded(transformers.AutoModelForImageTextToText.from_config, config)


def save(model, folder, **options) -> Path:
    model.save_pretrained(folder, **options)
    byte_tokenizer(add_bos=True).save_pretrained(folder)
    return folder


def rename(folder, change) -> None:
    path = folder / "model.safetensors"
    save_file({change(name): tensor for name, tensor in load_file(path).items()}, path, metadata={"format": "pt"})


def states(model) -> list[torch.Tensor]:
    """Outputs of all blocks but the last, which transformers normalises."""
    with torch.no_grad():
        return list(model(input_ids=IDS, output_hidden_states=True, use_cache=False).hidden_states[1:-1])


def found_at(folder, work, layers=(0, 1)) -> list[np.ndarray]:
    """Activations at resid_post as `decompose --model` gets them."""
    opened = open_model(str(folder), None, work)
    names = [f"resid_post.{layer}" for layer in layers]
    work.mkdir(exist_ok=True)
    np.save(work / "ids.npy", IDS.numpy().astype(np.int32))
    arguments = {"hookpoints": names, "first_position": 0, "batch_contexts": 2, "with_loss": False}
    extract(work, str(opened.folder), str(work / "ids.npy"), 0, 2, **arguments)
    return [np.load(work / f"{name}.npy") for name in names]


def check_same(result, wanted) -> None:
    for own, right in zip(result, wanted, strict=True):
        assert np.array_equal(own, right[:, :-1].float().numpy())


@pytest.mark.parametrize("kind", KINDS)
def test_a_model_saved_as_its_body_has_the_bodys_activations_and_no_head(tmp_path, kind):
    body = text_model(kind)
    folder = save(body, tmp_path / "body")
    assert "layers.0.mlp.up_proj.weight" in load_file(folder / "model.safetensors")
    check_same(found_at(folder, tmp_path / "work"), states(body))
    loaded = load_model(tmp_path / "work" / "model", head=False)
    if body.config.tie_word_embeddings:
        assert loaded.lm_head.weight is loaded.model.embed_tokens.weight
        return
    assert loaded.lm_head is None  # no random numbers
    with pytest.raises(ArtifactError, match=r"missing_keys: lm_head\.weight"):
        load_model(tmp_path / "work" / "model")
    with pytest.raises(ArtifactError, match="saved without its language-modelling head, so it has no loss"):
        extract(tmp_path, str(tmp_path / "work" / "model"), str(tmp_path / "work" / "ids.npy"), 0, 2,
                hookpoints=["resid_post.0"], first_position=0, batch_contexts=2, with_loss=True)  # fmt: skip


@pytest.mark.parametrize("name", ["layers.1.mlp.down_proj.weight", "embed_tokens.weight", "norm.weight"])
def test_a_body_must_be_whole(tmp_path, name):
    folder = save(text_model(), tmp_path / "body")
    path = folder / "model.safetensors"
    weights = load_file(path)
    save_file({key: value for key, value in weights.items() if key != name}, path, metadata={"format": "pt"})
    with pytest.raises(ArtifactError, match=rf"body: the weights do not fit .*missing_keys: model\.{name}"):
        found_at(folder, tmp_path / "a")
    save_file(weights | {"layers.7.mlp.up_proj.weight": torch.ones(2)}, path, metadata={"format": "pt"})
    with pytest.raises(ArtifactError, match=r"unexpected_keys: .*layers\.7"):
        found_at(folder, tmp_path / "b")
    save_file(weights, path, metadata={"format": "pt"})
    found_at(folder, tmp_path / "c")


def test_a_model_of_another_task_is_read_without_its_head(tmp_path):
    model = text_model(auto=transformers.AutoModelForSequenceClassification)
    check_same(found_at(save(model, tmp_path / "reward"), tmp_path / "work"), states(model.model))


@pytest.mark.parametrize("kind", ["gemma3", "llava", "mistral3"])
@pytest.mark.parametrize("form", ["saved", "as published", "nested", "without its head"])
def test_of_a_model_of_images_the_language_model_is_read(tmp_path, kind, form):
    model = wrapped(kind)
    folder = save(model.model if form == "without its head" else model, tmp_path / "whole")
    if form == "as published":
        rename(folder, lambda name: name.replace("model.language_model.", "language_model.model."))
    if form == "nested":
        rename(folder, lambda name: name.replace("language_model.model.", "model.language_model."))
    check_same(found_at(folder, tmp_path / "work"), states(model))
    opened = open_model(str(folder), None, tmp_path / "again")
    assert (opened.d_model, opened.layers, opened.vocab_size) == (16, 3, 259)


def test_a_language_model_inside_must_be_whole_too(tmp_path):
    folder = save(wrapped("gemma3"), tmp_path / "whole")
    rename(folder, lambda name: name.replace("layers.1.mlp.up_proj", "layers.9.mlp.up_proj"))
    with pytest.raises(ArtifactError, match=r"whole: the weights do not fit .*layers\.1\.mlp\.up_proj"):
        found_at(folder, tmp_path / "work")


@pytest.mark.parametrize("kind", ["qwen2_vl", "paligemma", "mamba"])
def test_other_kinds_are_one_clear_error(tmp_path, kind):
    (tmp_path / "model").mkdir()
    transformers.CONFIG_MAPPING[kind]().save_pretrained(tmp_path / "model")
    with pytest.raises(ArtifactError, match=rf"model.* a model of kind '{kind}'.* --activations"):
        open_model(str(tmp_path / "model"), None, tmp_path / "work")


def t5(folder):
    config = transformers.T5Config(vocab_size=9, d_model=8, num_layers=1, num_heads=2)
    config.save_pretrained(folder)


def adapter(folder):
    (folder / "adapter_config.json").write_text('{"peft_type": "LORA"}')


def add(folder, **keys):
    content = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(content | keys))


def eight_bits(folder):
    weights = load_file(folder / "model.safetensors")
    weights["layers.1.mlp.up_proj.weight"] = weights["layers.1.mlp.up_proj.weight"].to(torch.float8_e4m3fn)
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})


OTHERS = {
    "an encoder": (t5, "no causal language model"),
    "an adapter beside it": (adapter, r"holds an adapter.*merge_and_unload"),
    "quantised": (lambda folder: add(folder, quantization_config={"quant_method": "gptq"}), r"quantised \(gptq\)"),
    "8 bits without a word": (eight_bits, r"layers\.1\.mlp\.up_proj\.weight is F8_E4M3, a quantised weight"),
    "its own code": (lambda folder: add(folder, auto_map={"AutoModel": "m.BothWays"}), r"its own code \(BothWays\)"),
}


@pytest.mark.parametrize("form", OTHERS)
def test_what_would_be_read_as_another_model_is_refused(tmp_path, form):
    folder = save(text_model(), tmp_path / "model")
    change, message = OTHERS[form]
    change(folder)
    with pytest.raises(ArtifactError, match=message):
        open_model(str(folder), None, tmp_path / "work")


def test_code_that_transformers_has_taken_over_is_no_reason(tmp_path):
    body = text_model()
    folder = save(body, tmp_path / "model")
    add(folder, auto_map={"AutoModelForCausalLM": "modeling_llama.LlamaForCausalLM"}, quantization_config=None)
    check_same(found_at(folder, tmp_path / "work"), states(body))


@pytest.mark.parametrize("name", ["a/b/c", "/nowhere/model", "../model"])
def test_what_is_no_folder_and_no_id_is_one_clear_error(tmp_path, name):
    with pytest.raises(ArtifactError, match="is no folder, and no model of the Hugging Face hub"):
        open_model(name, None, tmp_path / "work")


def test_a_folder_has_no_revision(tmp_path):
    folder = save(text_model(), tmp_path / "model")
    with pytest.raises(ArtifactError, match="--revision is about models of the hub"):
        open_model(str(folder), COMMITS[0], tmp_path / "work")


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_halves_are_computed_in_float32(tmp_path, dtype):
    folder = save(text_model(auto=transformers.AutoModelForCausalLM).to(dtype), tmp_path / "half")
    assert load_file(folder / "model.safetensors")["lm_head.weight"].dtype == dtype
    right = transformers.AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32).eval()
    check_same(found_at(folder, tmp_path / "work"), states(right))


def test_weights_in_parts_are_read_and_a_missing_part_is_named(tmp_path):
    body = text_model("qwen2")
    folder = save(body, tmp_path / "parts", max_shard_size="5KB")
    parts = sorted(folder.glob("*.safetensors"))
    assert len(parts) > 2
    check_same(found_at(folder, tmp_path / "work"), states(body))
    parts[1].unlink()
    with pytest.raises(
        ArtifactError, match=rf"parts lacks {parts[1].name}, which model\.safetensors\.index\.json names"
    ):
        open_model(str(folder), None, tmp_path / "again")
    (folder / "model.safetensors.index.json").write_text("{")
    with pytest.raises(ArtifactError, match=r"index\.json is not valid JSON .*download"):
        open_model(str(folder), None, tmp_path / "again")


@pytest.mark.parametrize("content", ['{"name": "mine", "files": []}', "[1]", "no JSON"])
def test_a_manifest_of_another_tool_is_no_manifest(tmp_path, content):
    body = text_model()
    folder = save(body, tmp_path / "model")
    (folder / "manifest.json").write_text(content)
    check_same(found_at(folder, tmp_path / "work"), states(body))
    assert (folder / "manifest.json").read_text() == content


def test_errors_about_a_users_model_name_its_folder_and_no_command_of_the_pipeline(tmp_path):
    folder = save(text_model(), tmp_path / "mine")
    linked = open_model(str(folder), None, tmp_path / "a").folder
    load_tokenizer(linked)
    tokenizer = (folder / "tokenizer.json").read_text()
    broken = {"mine cannot be loaded": ("model.safetensors", b"x" * 100, lambda linked: load_model(linked, head=False))}
    broken["the tokenizer in .*mine cannot be loaded"] = ("tokenizer.json", b"{}", load_tokenizer)
    for number, (message, (name, content, load)) in enumerate(broken.items()):
        (folder / name).write_bytes(content)
        with pytest.raises(ArtifactError, match=rf"{message} .*Save the model") as result:
            load(open_model(str(folder), None, tmp_path / f"b{number}").folder)
        assert "dvc" not in str(result.value) and "\n" not in str(result.value)
    with pytest.raises(ArtifactError, match=r"mine/tokenizer\.json is not the file.*Save the model"):
        load_tokenizer(linked)  # it was changed meanwhile
    (folder / "tokenizer.json").write_text(tokenizer)
    load_tokenizer(linked)


@pytest.mark.parametrize("kind", ["gemma2", "qwen2", "llama"])
def test_a_folder_without_a_vocabulary_has_no_tokenizer(tmp_path, kind):
    """transformers makes a tokenizer of five special tokens for some kinds, which knows no text."""
    folder = save(text_model(kind), tmp_path / "model")
    load_tokenizer(open_model(str(folder), None, tmp_path / "a").folder)
    for path in folder.glob("tokenizer*"):
        path.unlink()
    with pytest.raises(ArtifactError, match=r"model holds no tokenizer \(none of tokenizer\.json"):
        load_tokenizer(open_model(str(folder), None, tmp_path / "b").folder)


def test_the_first_tokens_are_kept_whatever_side_the_tokenizer_cuts(tmp_path):
    folder = save(text_model(), tmp_path / "model")
    path = folder / "tokenizer_config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"truncation_side": "left"}))
    tokenizer = load_tokenizer(open_model(str(folder), None, tmp_path / "a").folder)
    assert tokenizer("abcdef", truncation=True, max_length=3)["input_ids"] == tokenizer("ab")["input_ids"]


def test_commits_in_the_cache_are_named_without_any_branch(tmp_path, monkeypatch):
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(tmp_path))
    body = text_model()
    snapshots = tmp_path / "models--org--name" / "snapshots"
    save(body, snapshots / COMMITS[0])
    shutil.copytree(snapshots / COMMITS[0], snapshots / COMMITS[1])
    for revision in (None, "main", COMMITS[0][:12], "0" * 40):
        with pytest.raises(ArtifactError, match="the cache has ") as result:
            open_model("org/name", revision, tmp_path / "work")
        assert all(commit in str(result.value) for commit in COMMITS)
    with pytest.raises(ArtifactError, match="the cache has none"):
        open_model("org/other", None, tmp_path / "work")
    assert open_model("org/name", COMMITS[1], tmp_path / "work").source["revision"] == COMMITS[1]
    with pytest.raises(ArtifactError, match=r"config\.json is a file: give the folder"):
        open_model(str(snapshots / COMMITS[0] / "config.json"), None, tmp_path / "work")


def test_the_residual_of_the_last_block_of_a_body_is_before_the_norm(tmp_path):
    whole = text_model(auto=transformers.AutoModelForCausalLM)
    folder = save(whole.model, tmp_path / "body")
    (result,) = found_at(folder, tmp_path / "work", layers=(2,))
    assert np.array_equal(result, read(whole, IDS, ["resid_post.2"])["resid_post.2"][:, :-1].numpy())
