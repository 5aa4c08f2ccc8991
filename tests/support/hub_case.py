"""A hub of this machine with a model, text and SAEs in the formats of the real ones, and stages that use it."""

import importlib
import json
import sys
import time
from pathlib import Path

import numpy as np
import pyarrow
import pytest
from fake_hub import Hub, serve
from huggingface_hub import constants

from darkmatter.models.activation_files import open_activations, rows_of
from darkmatter.params.saes import SaeSpec
from darkmatter.params.schema import Params
from darkmatter.runner.stage import Stage
from darkmatter.saes.published.registry import find
from darkmatter.storage.artifacts import write_json

MODEL = "google/gemma-2-2b"
PILE = "datasets/monology/pile-uncopyrighted"


@pytest.fixture
def hub(tmp_path, monkeypatch):
    """An empty hub, and an empty repository to work in."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("DARKMATTER_HUB_OFFLINE", "")
    monkeypatch.setenv("DARKMATTER_WORKERS", "1")
    monkeypatch.setattr(time, "sleep", lambda seconds: None)
    with serve(tmp_path / "served") as result:
        monkeypatch.setenv("HF_ENDPOINT", result.url)
        yield result


def publish_model(hub: Hub, language_model, tokenizer) -> Path:
    """Save a model as it stands on the hub: in shards, with pickles and code beside them."""
    folder = hub.root / MODEL
    language_model.save_pretrained(folder, max_shard_size="8KB")
    tokenizer.save_pretrained(folder)
    (folder / "pytorch_model.bin").write_bytes(b"a pickle")
    (folder / "modeling_evil.py").write_text("raise SystemExit('executed')\n")
    (folder / "original").mkdir()
    (folder / "original" / "model.safetensors").write_bytes(b"another format")
    config = json.loads((folder / "config.json").read_text())
    config["auto_map"] = {"AutoConfig": "modeling_evil.Evil", "AutoModelForCausalLM": "modeling_evil.Evil"}
    (folder / "config.json").write_text(json.dumps(config))
    return folder


def publish_text(hub: Hub) -> None:
    """Three shards in the Pile's format."""
    (hub.root / PILE / "train").mkdir(parents=True)
    for shard in range(3):
        rows = [{"text": f"{shard} {row} " + "words " * row, "meta": {"pile_set_name": "Pile-CC"}}
                for row in range(60)]  # fmt: skip
        with pyarrow.CompressedOutputStream(hub.root / PILE / "train" / f"{shard:02d}.jsonl.zst", "zstd") as file:
            file.write("".join(json.dumps(row) + "\n" for row in rows).encode())


def publish_saes(hub: Hub, params: Params) -> None:
    """Gemma Scope's files of every SAE in the parameters, for the activations that this run has, and their list."""
    entries = []
    for seed, spec in enumerate(params.sae_specs()):
        rows = np.asarray(rows_of(open_activations(Path(f"data/activations/train/{spec.hookpoint}"))))
        listed = find(*spec.reference.split("/", 1))
        folder = hub.root / listed.repo / listed.folder
        folder.mkdir(parents=True)
        np.savez(folder / "params.npz", **explaining(rows, spec, seed))
        entries.append(entry(spec, listed, rows.shape[1]))
    write_json(Path("conf/manifests") / f"{params.saes.published.manifest}.json", {"saes": entries})


def explaining(rows: np.ndarray, spec: SaeSpec, seed: int) -> dict[str, np.ndarray]:
    """A JumpReLU SAE on ± the principal directions of some rows, its threshold where L0 is the published one.

    The other latents point anywhere and never fire.
    """
    d_model = rows.shape[1]
    mean = rows.mean(0)
    directions = np.linalg.svd(rows - mean, full_matrices=False)[2]
    idle = np.random.default_rng(seed).normal(size=(spec.d_sae - 2 * d_model, d_model)) * 1e-3
    W_dec = np.concatenate([directions, -directions, idle])
    sizes = np.sort(np.abs((rows - mean) @ directions.T), axis=None)
    threshold = sizes[-round(spec.nominal_l0 * len(rows))]
    arrays = {"W_enc": W_dec.T, "W_dec": W_dec, "b_enc": -W_dec @ mean, "b_dec": mean,
              "threshold": np.full(spec.d_sae, threshold)}  # fmt: skip
    return {name: np.ascontiguousarray(array, dtype=np.float32) for name, array in arrays.items()}


def entry(spec: SaeSpec, listed, d_model: int) -> dict:
    return {
        "release": listed.release, "id": listed.id, "repo": listed.repo, "folder": listed.folder,
        "format": listed.format, "architecture": spec.architecture, "hookpoint": spec.hookpoint, "d_model": d_model,
        "width": spec.d_sae, "nominal_l0": spec.nominal_l0, "revision": None, "sha256": {"params.npz": None},
    }  # fmt: skip


def run_stage(name: str, params: Params, *arguments: str) -> Stage:
    """Run a stage in this process, as `python -m stages.NAME ARGUMENTS` does in its own."""
    module = importlib.import_module(f"stages.{name}")
    stage = Stage("@".join([name, *arguments]), params, Path(module.__file__))
    given, sys.argv = sys.argv, [f"stages.{name}", *arguments]
    try:
        module.main(stage)
    finally:
        sys.argv = given
    return stage
