"""What is refused of a model on disk: weights that are not there, or that read as plain numbers are another model's."""

from collections.abc import Iterable
from pathlib import Path

# First of all: it keeps transformers from asking a network.
from darkmatter.models.hub_model import INDEX
from darkmatter.models.safetensors_names import names_of
from darkmatter.models.weight_checks import check_finite

# isort: split
import safetensors
import transformers

from darkmatter.storage.artifacts import ArtifactError
from darkmatter.storage.text_files import json_of

WHOLE = "model.safetensors"
ADAPTER = "adapter_config.json"
FLOATS = {"F16", "BF16", "F32", "F64"}


def check_adapter(path: Path) -> None:
    if (path / ADAPTER).is_file():
        raise ArtifactError(
            f"{path} holds an adapter ({ADAPTER}), whose weights would be left out. Merge it into its model: "
            "peft.AutoPeftModelForCausalLM.from_pretrained(FOLDER).merge_and_unload().save_pretrained(NEW)"
        )


def check_kind(config: transformers.PretrainedConfig, path: Path) -> None:
    """Refuse what would be another model when read as plain weights, and what is no causal language model."""
    quantised = getattr(config, "quantization_config", None)
    if quantised:
        method = quantised.get("quant_method") if isinstance(quantised, dict) else None
        raise ArtifactError(
            f"{path}: its weights are quantised ({method or 'quantization_config'}), which is not read. Give the "
            "model in float16, bfloat16 or float32 (model.dequantize() and save_pretrained), or extract the "
            "activations yourself and use --activations"
        )
    code = getattr(config, "auto_map", None) or {}
    own = [str(code[name]).rpartition(".")[2] for name in ("AutoModel", "AutoModelForCausalLM") if name in code]
    if own and not any(hasattr(transformers, name) for name in own):
        raise ArtifactError(
            f"{path}: its own code ({own[0]}) makes another model of these weights than transformers does, and is "
            "never run here; extract the activations yourself and use --activations"
        )
    if getattr(config, "is_encoder_decoder", False):
        raise ArtifactError(
            f"{path}: a model of kind {config.model_type!r} is no causal language model; extract the activations "
            "yourself and use --activations"
        )


def check_weights(path: Path, names: set[str]) -> None:
    """Refuse a folder without weights, or with a part of them only, before anything is read."""
    if not any(name.endswith(".safetensors") for name in names):
        raise ArtifactError(f"{path} holds no .safetensors; other formats of weights can run code and are not read")
    if WHOLE not in names and INDEX in names:
        missing = sorted({*json_of(path / INDEX).get("weight_map", {}).values()} - names)
        if missing:
            raise ArtifactError(
                f"{path} lacks {missing[0]}{' and others' * (len(missing) > 1)}, which {INDEX} names: the download or "
                "copy is not complete"
            )


def check_numbers(files: Iterable[Path]) -> None:
    """Refuse a weight that stands twice, is not finite, or is a whole number or an 8-bit float without a scale."""
    for file in files:
        try:
            with safetensors.safe_open(file, framework="pt") as weights:
                check_types(weights, file)
                check_finite(((name, weights.get_tensor(name)) for name in weights.keys()), str(file))  # noqa: SIM118
        except safetensors.SafetensorError:
            continue  # damaged: `load_model` says so
        names = names_of(file)
        if twice := sorted({name for name in names if names.count(name) > 1}):
            raise ArtifactError(f"{file} holds {twice[0]} twice, so which one counts is unclear. Save the model again")


def check_types(weights: safetensors.safe_open, file: Path) -> None:
    names = (name for name in weights.keys() if name.endswith(".weight"))  # noqa: SIM118
    types = {name: weights.get_slice(name).get_dtype() for name in names}
    if other := sorted(name for name, dtype in types.items() if dtype not in FLOATS):
        raise ArtifactError(
            f"{file}: {other[0]} is {types[other[0]]}, a quantised weight that needs a scale. Give the model in "
            "float16, bfloat16 or float32, or extract the activations yourself and use --activations"
        )
