"""`darkmatter gpu-check` from end to end on the CPU: a hub of this machine has tiny files under the real names."""

import json
import shutil
import time
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pyarrow
import pytest
import torch
import transformers
from fake_hub import serve
from huggingface_hub import constants
from profiles import ROOT, profile_params

from darkmatter.api.gpu_check import checks, expected, protocol, receipt
from darkmatter.cli import main
from darkmatter.models.hookpoints import read
from darkmatter.models.load import byte_tokenizer
from darkmatter.storage.artifacts import read_json, sha256_file, write_json
from darkmatter.text.hub_corpus import shard_names

D_MODEL, LENGTH, FIRST = 48, 160, 20
SAE_REPO = "google/gemma-scope-2b-pt-res"
REAL = protocol.protocol_of(profile_params("gemma-2-2b"))


@pytest.fixture(scope="module")
def published(tmp_path_factory):
    """What the hub serves: a random Gemma 2 of 13 blocks, an SAE of its activations at block 12, a shard of text."""
    root = tmp_path_factory.mktemp("served")
    torch.manual_seed(0)
    config = transformers.Gemma2Config(
        vocab_size=258, hidden_size=D_MODEL, intermediate_size=64, num_hidden_layers=13, num_attention_heads=2,
        num_key_value_heads=1, head_dim=16, max_position_embeddings=LENGTH, initializer_range=0.3,
    )  # fmt: skip
    model = transformers.AutoModelForCausalLM.from_config(config).eval()
    folder, tokenizer = root / REAL.model.repo, byte_tokenizer(add_bos=True)
    model.save_pretrained(folder, max_shard_size="200KB")
    tokenizer.save_pretrained(folder)
    x = read(model, torch.randint(256, (8, LENGTH)), ["resid_post.12"])["resid_post.12"].flatten(0, 1)
    write_sae(root / SAE_REPO / REAL.sae_id, x.mean(0).numpy(), x.std(0).numpy())
    words = np.random.default_rng(0)
    dataset = root / "datasets" / REAL.dataset.repo / "train"
    dataset.mkdir(parents=True)
    rows = [
        {"text": "".join(map(chr, words.integers(32, 127, 1100 - 400 * (n % 2)))), "meta": {"pile_set_name": "Pile-CC"}}
        for n in range(800)
    ]
    (first, *_) = shard_names(REAL.dataset)
    with pyarrow.CompressedOutputStream(dataset.parent / first, "zstd") as file:
        file.write("".join(json.dumps(row) + "\n" for row in rows).encode())
    return root


def write_sae(folder, mean, deviation):
    """Latents ±e_i that fire beyond a fifth of a deviation and rebuild 0.7 of it; the rest of 16,384 never fire."""
    latents = 16384
    W_dec = np.zeros((latents, D_MODEL))
    W_dec[: 2 * D_MODEL] = np.concatenate([np.eye(D_MODEL), -np.eye(D_MODEL)])
    threshold = np.full(latents, 1e3)
    threshold[: 2 * D_MODEL] = 0.1 * np.tile(deviation, 2)
    W_enc = W_dec.T.copy()
    arrays = {"W_enc": W_enc, "W_dec": 0.7 * W_dec, "b_enc": -mean @ W_enc, "b_dec": mean, "threshold": threshold}
    folder.mkdir(parents=True)
    np.savez(folder / "params.npz", **{name: array.astype(np.float32) for name, array in arrays.items()})


@pytest.fixture
def hub(published, tmp_path, monkeypatch):
    """A repository whose profile has short contexts, whose list has the SAE in the model's own width; and a hub."""
    shutil.copytree(ROOT / "conf", tmp_path / "conf")
    with (tmp_path / "conf" / "profile" / "gemma-2-2b.yaml").open("a") as profile:
        profile.write(f"\ntokens: {{context_length: {LENGTH}, first_position: {FIRST}}}\n")
    listed = read_json(ROOT / REAL.manifest)
    listed["saes"] = [
        entry | {"d_model": D_MODEL, "revision": None, "sha256": {"params.npz": None}}
        for entry in listed["saes"]
        if entry["id"] == REAL.sae_id
    ]
    write_json(tmp_path / REAL.manifest, listed)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(checks.psutil, "disk_usage", lambda path: type("Usage", (), {"free": 20e9}))
    monkeypatch.setenv("DARKMATTER_HUB_OFFLINE", "")
    monkeypatch.delenv("HF_TOKEN", raising=False)
    monkeypatch.setattr(time, "sleep", lambda seconds: None)
    with serve(published) as result:
        result.commits = {REAL.model.repo: REAL.model.revision, f"datasets/{REAL.dataset.repo}": REAL.dataset.revision}
        monkeypatch.setenv("HF_ENDPOINT", result.url)
        yield result


def run(*arguments):
    with pytest.raises(SystemExit) as stopped:
        main(["gpu-check", *arguments])
    return stopped.value.code


def test_all_steps_run_and_leave_a_receipt_that_names_every_byte(hub, capsys):
    assert run("--device", "cpu", "--out", "receipt.json") == 3  # a random model is no Gemma 2
    said = capsys.readouterr().out
    result = read_json(Path("receipt.json"))
    assert [check["name"] in said for check in result["checks"]] == [True] * 4 and "OUTSIDE" in said
    assert {check["name"]: check["inside"] for check in result["checks"]}["L0"] == (58 <= result["result"]["l0"] <= 116)
    assert result["result"]["contexts"] == 20 and result["result"]["rows"] == 20 * (LENGTH - 1 - FIRST)
    model = hub.root / REAL.model.repo
    hashes = result["sources"]["model"]["sha256"]
    assert hashes["config.json"] == sha256_file(model / "config.json") and len(hashes) > 4
    sae = hub.root / SAE_REPO / REAL.sae_id / "params.npz"
    assert result["sources"]["sae"]["sha256"] == {"params.npz": sha256_file(sae)}
    assert result["sources"]["text"]["sha256"] and result["sources"]["model"]["revision"] == REAL.model.revision
    assert set(result["seconds"]) == {"model", "text", "activations", "sae", "decomposition", "all"}
    assert result["device"] == {"name": "cpu"} and result["machine"]["cpu"] and result["libraries"]["torch"]
    assert (
        "darkmatter/api/gpu_check/steps.py" in result["code"] and "darkmatter/decomposition/passes.py" in result["code"]
    )
    assert read_json(REAL.manifest)["saes"][0]["sha256"] == result["sources"]["sae"]["sha256"]  # pinned from now on
    assert sum("jsonl.zst" in path for method, path, _ in hub.seen if method == "GET") == 1
    assert list(Path("data").iterdir()) == []


def refused(capsys, *words, arguments=("--device", "cpu")):
    assert run(*arguments) == 1
    said = capsys.readouterr()
    assert said.err.startswith("error: ") and said.err.count("\n") == 1 and said.out == ""
    assert all(word in said.err for word in words), said.err


def test_what_is_missing_is_said_before_any_download(hub, capsys, monkeypatch):
    refused(capsys, "device cuda:", "--device", arguments=())
    hub.gated.add(REAL.model.repo)
    refused(capsys, "hub google/gemma-2-2b", "HF_ENDPOINT")
    hub.gated.clear()
    hub.commits[REAL.model.repo] = "2" * 40
    refused(capsys, "no revision", "git ls-remote")
    hub.commits[REAL.model.repo] = REAL.model.revision
    monkeypatch.setattr(checks.psutil, "disk_usage", lambda path: type("Usage", (), {"free": 12e9}))
    refused(capsys, "needed for the model's files", "HF_HOME", "--work")
    refused(capsys, "there is no such folder", arguments=("--device", "cpu", "--out", "nowhere/receipt.json"))
    assert not any(method == "GET" for method, *_ in hub.seen)


def test_too_few_rows_lower_held_out_r2_by_what_the_ranges_are_widened():
    """Gaussian regressors: fit on n rows, score on others; the mean over draws is what `held_out` says."""
    random = np.random.default_rng(0)
    n, p, r2 = 400, 100, 0.5
    scores = []
    for _ in range(20):
        x, beta = random.standard_normal((2 * n, p)), random.standard_normal(p) / p**0.5
        y = x @ beta + random.standard_normal(2 * n)
        fitted = np.linalg.lstsq(x[:n], y[:n])[0]
        scores.append(1 - np.square(y[n:] - x[n:] @ fitted).sum() / np.square(y[n:] - y[n:].mean()).sum())
    assert np.mean(scores) == pytest.approx(expected.held_out(r2, n, p), abs=0.03)
    assert expected.held_out(r2, 10**9, p) == pytest.approx(r2)


@pytest.mark.parametrize(("measured", "inside"), [(0.5, True), (-0.2, False), (0.8, False)])
def test_a_number_is_inside_its_range_or_said_to_be_outside(measured, inside):
    one = expected.Judged("R²", measured, *(expected.held_out(expected.VECTOR_R2[0], 9996, 2304), 0.72), "reason")
    assert one.inside == inside and ("OUTSIDE" in str(one)) != inside and "reason" in str(one)


def test_a_gpu_is_named_with_its_driver_and_peak_memory(monkeypatch, tmp_path):
    facts = SimpleNamespace(name="Some GPU", total_memory=24e9, major=8, minor=9)
    monkeypatch.setattr(torch.cuda, "get_device_properties", lambda device: facts)
    monkeypatch.setattr(torch.cuda, "max_memory_allocated", lambda device: 7)
    monkeypatch.setattr(torch.cuda, "max_memory_reserved", lambda device: 9)
    monkeypatch.setenv("PATH", str(tmp_path))
    result = receipt.accelerator(torch.device("cuda:0"))
    assert result["gpu"] == "Some GPU" and result["capability"] == "8.9" and result["driver"] is None
    assert (result["peak_allocated_bytes"], result["peak_reserved_bytes"]) == (7, 9)
    (tmp_path / "nvidia-smi").write_text("#!/bin/sh\necho 550.54.15\n")
    (tmp_path / "nvidia-smi").chmod(0o755)
    assert receipt.driver() == "550.54.15"


def test_the_protocol_is_the_profiles_but_for_its_size():
    """Another model, text, SAE, cut or filter of the profile is another check."""
    params = profile_params("gemma-2-2b")
    tokens = params.tokens.model_copy(update={"context_length": 512, "first_position": 100})
    decomposition = params.decomposition.model_copy(update={"outlier_norm_ratio": 5.0})
    error_saes = params.error_saes.model_copy(update={"sae": "sparsity-16384-l0_22"})
    changed = {"tokens": tokens, "decomposition": decomposition, "error_saes": error_saes}
    result = protocol.protocol_of(params.model_copy(update=changed))
    assert result.model == params.model and result.decomposition == decomposition
    sizes = {"buffer": protocol.BUFFER, "documents": protocol.DOCUMENTS}
    assert result.dataset == params.corpus.dataset.model_copy(update=sizes) != params.corpus.dataset
    assert (result.context_length, result.first_position) == (512, 100)
    assert (result.release, result.sae_id) == ("gemma-scope-2b-pt-res", "layer_12/width_16k/average_l0_22")


def test_the_document_names_what_is_run():
    result = protocol.protocol_of(profile_params("gemma-2-2b"))
    text = " ".join((ROOT / "docs" / "paper-scale.md").read_text().split())
    assert (
        result.sae.reference in text and result.dataset.repo in text and result.decomposition.outlier_norm_ratio is None
    )
    assert f"the first {result.contexts} contexts of {result.context_length:,} tokens" in text
