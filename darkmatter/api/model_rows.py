"""Activations of a language model on disk, for a decomposition without the pipeline.

A folder in transformers' format is read through `models.load`, which loads nothing but what a manifest names:
a folder without one is linked beside a manifest of what it holds now.
"""

import re
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pydantic
from jaxtyping import Float
from tqdm import tqdm

# First of all: it keeps transformers and huggingface_hub from asking a network.
from darkmatter.models.load import LINKED_FROM, MANIFEST, TOKENIZER, check_manifest, first_line

# isort: split
import huggingface_hub
import transformers
from huggingface_hub import constants
from huggingface_hub.utils import HFValidationError, validate_repo_id

from darkmatter.api.plain_weights import check_adapter, check_kind, check_numbers, check_weights
from darkmatter.models.activation_files import open_activations
from darkmatter.models.checkpoint_parts import text_part
from darkmatter.models.extract import extract, release_model
from darkmatter.models.hookpoints import layer_of
from darkmatter.models.hub_model import CONFIG
from darkmatter.params.types import Hookpoint
from darkmatter.storage.artifacts import ArtifactError, read_json, sha256_file, write_json
from darkmatter.storage.text_files import json_of

LINKED = ("*.json", "*.safetensors", "*.model", "*.txt", "*.jinja")  # no code, no pickled weights
SHARD_CONTEXTS = 8


@dataclass(frozen=True)
class ModelFolder:
    """A model that `models.load_model` will read, and what is known of it before that; d_z is heads · d_head."""

    folder: Path
    d_model: int
    d_z: int
    layers: int
    vocab_size: int
    source: dict[str, Any]

    def width(self, hookpoint: str) -> int:
        """Dimensions of the activations at `hookpoint`."""
        return self.d_z if hookpoint.startswith("attn_z.") else self.d_model


def find_model(model: str, revision: str | None) -> Path:
    """The folder of a local model, or of a Hugging Face id in the local cache.

    Raises:
        ArtifactError: neither a folder nor in the cache at this commit; says which commits are.
    """
    if Path(model).is_dir():
        if revision is not None:
            raise ArtifactError(f"{model} is a folder here, and --revision is about models of the hub: leave it out")
        return Path(model)
    if Path(model).exists():
        raise ArtifactError(f"{model} is a file: give the folder that holds it, with its config.json")
    try:
        validate_repo_id(model)
    except HFValidationError:
        raise ArtifactError(
            f"{model} is no folder, and no model of the Hugging Face hub, whose ids are ORG/NAME"
        ) from None
    kept = cached_commits(model)
    there_are = f"the cache has {', '.join(kept)}" if kept else "the cache has none"
    if revision is None or not re.fullmatch(r"[0-9a-f]{40}", revision):
        commit = kept[-1] if kept else "COMMIT"
        raise ArtifactError(
            f"{model} is no folder. For a model of the Hugging Face hub name the commit, so that the same weights are "
            f"meant next year: --revision with its 40 hex digits ({there_are}), "
            + (f"such as --revision {commit}" if kept else f"after `hf download {model} --revision {commit}`")
        )
    try:
        return Path(huggingface_hub.snapshot_download(model, revision=revision, local_files_only=True))
    except Exception as error:
        raise ArtifactError(
            f"{model} at {revision} is not in the local cache ({type(error).__name__}; {there_are}): "
            f"`hf download {model} --revision {revision}`, or give a folder"
        ) from error


def cached_commits(model: str) -> list[str]:
    """Commits of a model of the hub that the local cache holds, whether or not a branch names them; oldest first."""
    name = huggingface_hub.file_download.repo_folder_name(repo_id=model, repo_type="model")
    results = [path for path in Path(constants.HF_HUB_CACHE, name, "snapshots").glob("*") if path.is_dir()]
    return [path.name for path in sorted(results, key=lambda path: (path.stat().st_mtime, path.name))]


def open_model(model: str, revision: str | None, work: Path) -> ModelFolder:
    """Find a model and read its configuration, not yet its weights.

    Raises:
        ArtifactError: not found, no safetensors, or a configuration that transformers does not know.
    """
    result = find_model(model, revision)
    check_adapter(result)
    if not (result / CONFIG).is_file():
        raise ArtifactError(
            f"{result} holds no {CONFIG}, so it is no model. `model.save_pretrained(FOLDER)` writes one"
        )
    try:
        config = transformers.AutoConfig.from_pretrained(result, local_files_only=True, trust_remote_code=False)
    except Exception as error:
        raise ArtifactError(
            f"{result}: transformers knows no such model without running its code ({first_line(error)})"
        ) from error
    check_kind(config, result)
    text = text_part(config, result)
    try:
        heads, d_model, layers = text.num_attention_heads, text.hidden_size, text.num_hidden_layers
    except AttributeError as error:
        raise ArtifactError(
            f"{result}: a model of kind {config.model_type!r} has no layers of attention ({error}); extract the "
            "activations yourself and use --activations"
        ) from error
    folder = result if has_manifest(result) else link(result, work / "model", text.vocab_size)
    files = read_json(folder / MANIFEST)["files"]
    source = {"model": model, "revision": revision, "sha256": files}
    d_z = heads * (getattr(text, "head_dim", None) or d_model // heads)
    return ModelFolder(folder, d_model, d_z, layers, text.vocab_size, source)


def has_manifest(folder: Path) -> bool:
    """Whether the folder's manifest.json is one of `models.load`: other tools write files of that name too."""
    if not (folder / MANIFEST).is_file():
        return False
    try:
        content = json_of(folder / MANIFEST)
    except ArtifactError:
        return False
    return isinstance(content, dict) and {"files", "tokenizer_sha256", "vocab_size", "dtype"} <= content.keys()


def link(path: Path, folder: Path, vocab_size: int) -> Path:
    """A folder of links to a model's configuration, safetensors and tokenizer, with the manifest of them."""
    files = sorted({file for pattern in LINKED for file in path.glob(pattern)} - {path / MANIFEST})
    check_weights(path, {file.name for file in files})
    check_numbers(file for file in files if file.suffix == ".safetensors")
    folder.mkdir(parents=True)
    for file in files:
        (folder / file.name).symlink_to(file.resolve())
    hashes = {file.name: sha256_file(file) for file in files}
    manifest = {
        LINKED_FROM: str(path),
        "files": hashes,
        "tokenizer_sha256": hashes.get(TOKENIZER),
        "vocab_size": vocab_size,
        "dtype": "float32",
    }
    write_json(folder / MANIFEST, manifest)
    return folder


def check_hookpoint(hookpoint: str | None, model: ModelFolder) -> str:
    """The hookpoint, once it is one that the model has.

    Raises:
        ArtifactError: says which there are.
    """
    there_are = f"there are resid_post.L, attn_out.L, attn_z.L and mlp_out.L with L from 0 to {model.layers - 1}"
    if hookpoint is None:
        raise ArtifactError(f"--model needs --hookpoint; {there_are}")
    try:
        pydantic.TypeAdapter(Hookpoint).validate_python(hookpoint)
    except pydantic.ValidationError:
        raise ArtifactError(f"{hookpoint} is no hookpoint; {there_are}") from None
    if layer_of(hookpoint) >= model.layers:
        raise ArtifactError(f"{hookpoint}: the model has {model.layers} layers; {there_are}")
    return hookpoint


def read_rows(
    model: ModelFolder, hookpoint: str, tokens: Path, contexts: int, first_position: int, device: str
) -> Iterator[Float[np.ndarray, "position d_model"]]:
    """Activations of each context at positions first_position … length − 2, from forward passes of a few at a time."""
    check_manifest(model.folder, weights=False)
    starts = range(0, contexts, SHARD_CONTEXTS)
    with tqdm(total=contexts, unit="context", desc="activations", disable=None, dynamic_ncols=True) as bar:
        for start in starts:
            stop = min(start + SHARD_CONTEXTS, contexts)
            with tempfile.TemporaryDirectory(dir=tokens.parent) as name:
                arguments = {"hookpoints": [hookpoint], "first_position": first_position}
                arguments |= {"with_loss": False, "device": device}
                try:
                    extract(Path(name), str(model.folder), str(tokens), start, stop, batch_contexts=2, **arguments)
                except AttributeError as error:
                    raise ArtifactError(
                        f"{hookpoint}: the model keeps its layers elsewhere than Llama and Gemma do ({error}); "
                        "extract the activations yourself and use --activations"
                    ) from error
                yield from open_activations(Path(name) / f"{hookpoint}.npy")
            bar.update(stop - start)
    release_model()  # the decomposition needs the memory
