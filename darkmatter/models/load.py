"""Language models: converted once to safetensors, and loaded from nothing but that folder.

A model folder holds what transformers saves (config, safetensors, tokenizer) and a manifest.json with the SHA-256
of every file. The weights are float32, but those of a model of the hub are in the dtype that it is to run in. Loading
checks the manifest, refuses missing or unexpected tensors and a tokenizer that is not the model's, never asks a
network and never runs a model's own code. A folder of links to a user's own model names that in its manifest, so that
an error is about the user's folder.

transformers and the libraries below it meet a bad file with whatever they have (struct.error, SafetensorError, a
bare Exception from Rust), so every call into them catches Exception and says which file it was.
"""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

# hub.py alone asks the hub, and only if this says that the user let it; worker processes inherit it.
os.environ.setdefault("DARKMATTER_HUB_OFFLINE", os.environ.get("HF_HUB_OFFLINE", ""))
os.environ["HF_HUB_OFFLINE"] = "1"
# A token would otherwise go to any HF_ENDPOINT, plain http included.
os.environ["HF_HUB_DISABLE_IMPLICIT_TOKEN"] = "1"  # noqa: S105

import tokenizers
import torch
import transformers
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from darkmatter.models.checkpoint_parts import drop_random_head, load_options, misfits
from darkmatter.params.data import Model
from darkmatter.storage.artifacts import ArtifactError, read_json, sha256_file, write_json
from darkmatter.storage.replacing import walk_files

MANIFEST = "manifest.json"
LINKED_FROM = "linked_from"  # in the manifest of links: the folder that they lead to
TOKENIZER = "tokenizer.json"
VOCABULARIES = (TOKENIZER, "tokenizer.model", "vocab.json", "vocab.txt")
BYTES = 256
SPECIAL_TOKENS = ("<bos>", "<eos>")
INITIALIZER_RANGE = 0.3  # at the usual 0.02 the layers of a model 24 wide would hardly change its embedding


def read_gguf(path: Path) -> tuple[PreTrainedModel, PreTrainedTokenizerBase]:
    """Dequantise a GGUF file into a float32 model and its tokenizer.

    Raises:
        ArtifactError: transformers cannot read the file as a causal language model.
    """
    try:
        model = transformers.AutoModelForCausalLM.from_pretrained(
            path.parent, gguf_file=path.name, dtype=torch.float32, trust_remote_code=False
        )
        tokenizer = transformers.AutoTokenizer.from_pretrained(
            path.parent, gguf_file=path.name, trust_remote_code=False
        )
    except Exception as error:
        raise ArtifactError(f"{path.name} is not a GGUF model that transformers can read: {error}") from error
    # What remains is plain float32, and save_pretrained would refuse weights that it takes for quantised.
    model.hf_quantizer = None
    if hasattr(model.config, "quantization_config"):
        del model.config.quantization_config
    return model, tokenizer


def random_model(spec: Model) -> tuple[PreTrainedModel, PreTrainedTokenizerBase]:
    """A model with seeded random weights and a tokenizer of single bytes, for tests.

    Raises:
        ArtifactError: `vocab_size` is not that of the tokenizer, or transformers refuses the configuration.
    """
    tokenizer = byte_tokenizer(add_bos=spec.architecture == "gemma2")
    if spec.config.get("vocab_size") != len(tokenizer):
        raise ArtifactError(
            f"model.config.vocab_size is {spec.config.get('vocab_size')}; the byte tokenizer of a random model has "
            f"{len(tokenizer)} tokens. Set it in conf/profile/."
        )
    configs = {"llama": transformers.LlamaConfig, "gemma2": transformers.Gemma2Config}
    if spec.architecture is None:
        raise ArtifactError(f"model.architecture is missing; a random model needs one of {sorted(configs)}.")
    special = {"bos_token_id": tokenizer.bos_token_id, "eos_token_id": tokenizer.eos_token_id}
    try:
        config = configs[spec.architecture](
            **spec.config, **special, pad_token_id=None, initializer_range=INITIALIZER_RANGE, dtype="float32"
        )
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(spec.seed)
            model = transformers.AutoModelForCausalLM.from_config(config, dtype=torch.float32)
    except Exception as error:
        raise ArtifactError(f"model.config does not describe a {spec.architecture} model: {error}") from error
    return model, tokenizer


def byte_tokenizer(add_bos: bool) -> PreTrainedTokenizerBase:
    """One token per UTF-8 byte, then <bos> and <eos>. `add_bos` puts <bos> first, as Gemma's does."""
    alphabet = sorted(tokenizers.pre_tokenizers.ByteLevel.alphabet())
    vocabulary = {symbol: number for number, symbol in enumerate([*alphabet, *SPECIAL_TOKENS])}
    backend = tokenizers.Tokenizer(tokenizers.models.BPE(vocab=vocabulary, merges=[]))
    backend.pre_tokenizer = tokenizers.pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    backend.decoder = tokenizers.decoders.ByteLevel()
    backend.add_special_tokens(list(SPECIAL_TOKENS))
    if add_bos:
        backend.post_processor = tokenizers.processors.TemplateProcessing(
            single="<bos> $A", special_tokens=[("<bos>", vocabulary["<bos>"])]
        )
    return transformers.PreTrainedTokenizerFast(tokenizer_object=backend, bos_token="<bos>", eos_token="<eos>")  # noqa: S106


def save_model(
    folder: Path, model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, facts: Mapping[str, Any]
) -> None:
    """Write the model folder with its manifest.

    Args:
        facts: `label`, `source` and `package`, which go into the manifest as they are.

    Raises:
        ArtifactError: a weight is not float32.
    """
    if other := {str(tensor.dtype) for tensor in model.parameters()} - {"torch.float32"}:
        raise ArtifactError(f"the model has {', '.join(sorted(other))} weights, expected float32 alone")
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    write_manifest(folder, facts, "float32")


def write_manifest(folder: Path, facts: Mapping[str, Any], dtype: str) -> None:
    """manifest.json of a folder that has all else."""
    for file in walk_files(folder):
        file.chmod(0o644)  # safetensors writes files that only their owner can read
    try:
        config = transformers.AutoConfig.from_pretrained(folder, local_files_only=True, trust_remote_code=False)
    except Exception as error:
        raise ArtifactError(
            f"{folder / 'config.json'} cannot be loaded ({error}). Correct `model` in conf/."
        ) from error
    manifest = {
        **facts,
        "files": {file.relative_to(folder).as_posix(): sha256_file(file) for file in walk_files(folder)},
        "tokenizer_sha256": sha256_file(folder / TOKENIZER),
        "vocab_size": config.vocab_size,
        "d_model": config.hidden_size,
        "layers": config.num_hidden_layers,
        "dtype": dtype,
    }
    write_json(folder / MANIFEST, manifest)


def check_manifest(folder: Path, weights: bool) -> dict[str, Any]:
    """The manifest of a model folder, once its files (the weights only if asked) have the hashes it names.

    Raises:
        ArtifactError: a file is missing, or another than the manifest names.
    """
    manifest = read_json(folder / MANIFEST)
    if manifest["files"].get(TOKENIZER) != manifest["tokenizer_sha256"]:
        raise ArtifactError(f"{folder / MANIFEST} contradicts itself about {TOKENIZER}. {remedy(manifest)}")
    for name, expected in manifest["files"].items():
        if name.endswith(".safetensors") and not weights:
            continue
        path, shown = folder / name, place(folder, manifest) / name
        if not path.is_file():
            raise ArtifactError(f"{shown} is missing. {remedy(manifest)}")
        if sha256_file(path) != expected:
            raise ArtifactError(
                f"{shown} is not the file that {MANIFEST} names (sha256 {expected[:12]}…): it was changed, or belongs "
                f"to another model. {remedy(manifest)}"
            )
    return manifest


def place(folder: Path, manifest: Mapping[str, Any]) -> Path:
    """The folder that a user knows: that of the model itself, where `folder` holds links."""
    return Path(manifest.get(LINKED_FROM, folder))


def remedy(manifest: Mapping[str, Any]) -> str:
    """What to do about a model that cannot be read: the pipeline makes its own, a user saves or downloads it."""
    if LINKED_FROM in manifest:
        return "Save the model and its tokenizer there again with `save_pretrained`, or download them again."
    return "Restore it with `dvc checkout` or run `dvc repro model`."


def first_line(error: Exception) -> str:
    """Of what a library says, whose lists of all it knows fill pages."""
    return (str(error).strip().splitlines() or [type(error).__name__])[0][:300]


def load_model(folder: Path, head: bool = True) -> PreTrainedModel:
    """The model in eval mode, in its own dtype, without gradients; with sdpa attention where it can (Gemma 2 cannot).

    Args:
        head: False takes a checkpoint without the language-modelling head too; the model's `lm_head` is then None.

    Raises:
        ArtifactError: the manifest does not hold, or a tensor is missing, left over or of another shape.
    """
    manifest = check_manifest(folder, weights=True)
    where = place(folder, manifest)
    transformers.utils.logging.disable_progress_bar()  # seconds; the stage's own bar is the one to read
    transformers.utils.logging.set_verbosity_error()  # what it warns of is refused below, or not needed
    try:
        config = transformers.AutoConfig.from_pretrained(folder, local_files_only=True, trust_remote_code=False)
        model, info = transformers.AutoModelForCausalLM.from_pretrained(
            folder,
            dtype=getattr(torch, manifest["dtype"]),
            local_files_only=True,
            trust_remote_code=False,
            use_safetensors=True,
            output_loading_info=True,
            **load_options(config, where),
        )
    except ArtifactError:
        raise
    except Exception as error:
        raise ArtifactError(f"{where} cannot be loaded ({first_line(error)}). {remedy(manifest)}") from error
    if wrong := misfits(info, head):
        raise ArtifactError(f"{where}: the weights do not fit the configuration ({wrong}). {remedy(manifest)}")
    drop_random_head(model, info)
    if model.get_input_embeddings().num_embeddings != manifest["vocab_size"]:
        raise ArtifactError(f"{where}: the embedding does not have the {manifest['vocab_size']} rows of the manifest")
    return model.eval().requires_grad_(False)


def load_tokenizer(folder: Path) -> PreTrainedTokenizerBase:
    """The tokenizer of a model folder, which keeps the first tokens of a text that is too long.

    It may have more tokens than the model (Gemma 3: one, for images): `tokens.check_ids` looks at those that are used.

    Raises:
        ArtifactError: there is none, or it is not the one the manifest names.
    """
    manifest = check_manifest(folder, weights=False)
    where = place(folder, manifest)
    if not manifest["files"].keys() & {*VOCABULARIES}:  # transformers makes an empty one for some kinds
        raise ArtifactError(f"{where} holds no tokenizer (none of {', '.join(VOCABULARIES)}). {remedy(manifest)}")
    try:
        return transformers.AutoTokenizer.from_pretrained(
            folder, local_files_only=True, trust_remote_code=False, truncation_side="right"
        )
    except Exception as error:
        raise ArtifactError(
            f"the tokenizer in {where} cannot be loaded ({first_line(error)}). {remedy(manifest)}"
        ) from error
