"""SAEs of Gemma Scope and Gemma Scope 2: JumpReLU, one file of arrays; in 2 with a description beside it."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from darkmatter.saes.published.options import TRANSCODER, Option, alike, check_one_place, check_options
from darkmatter.saes.published.tensors import Tensors
from darkmatter.saes.published.weights import Read, Weights, check_shapes
from darkmatter.storage.artifacts import ArtifactError
from darkmatter.storage.text_files import json_of

OPTIONS = (  # of config.json, which Gemma Scope 2 has
    Option("type", "refused", "only SAEs of one activation are read, no transcoder, clt or crosscoder", ("sae",)),
    Option("affine_connection", "refused", "a transcoder adds a map of its input to its output"),
    Option("architecture", "refused", "only JumpReLU is read", ("jump_relu", "jumprelu")),
    *alike("read", "one activation in and out; others are a transcoder's", "hf_hook_point_in hf_hook_point_out"),
    Option("width", "read", "number of latents"),
    *alike("no effect", "which model it is for, and its L0 there", "model_name l0"),
)


def read_gemma_scope(paths: Mapping[str, Path], factor: float | None = None) -> Read:
    """Gemma Scope: params.npz with W_enc [d_model, latent], W_dec [latent, d_model], biases and thresholds."""
    return jumprelu(Tensors.of_npz(paths["params.npz"]), "W_enc", "W_dec"), None


def read_gemma_scope_2(paths: Mapping[str, Path], factor: float | None = None) -> Read:
    """Gemma Scope 2: params.safetensors with the same arrays, W_enc and W_dec in lower case, perhaps config.json.

    A transcoder's arrays may look like an SAE's: then only config.json tells.
    """
    facts = described(paths["config.json"]) if "config.json" in paths else {}
    result = Tensors.of_safetensors(paths["params.safetensors"])
    if "affine_skip_connection" in result.arrays:
        raise ArtifactError(f"{result.path} has a skip connection: {TRANSCODER}.")
    weights = jumprelu(result, "w_enc", "w_dec")
    check_shapes(weights, str(result.path), facts.get("width"))
    return weights, facts.get("hf_hook_point_in")


def described(path: Path) -> dict[str, Any]:
    """What config.json says, once that is an SAE of one activation."""
    facts = json_of(path)
    if (kind := facts.get("type")) in ("transcoder", "clt"):
        raise ArtifactError(f"{path}: `type` is {kind}: {TRANSCODER}.")
    check_one_place(facts.get("hf_hook_point_in"), facts.get("hf_hook_point_out"), str(path))
    check_options(facts, OPTIONS, str(path))
    return facts


def jumprelu(tensors: Tensors, W_enc: str, W_dec: str) -> Weights:
    weights = Weights(
        "jumprelu",
        tensors.matrix(W_enc, latents_first=False),
        tensors.matrix(W_dec, latents_first=True),
        tensors.vector("b_enc"),
        tensors.vector("b_dec"),
        tensors.vector("threshold"),
    )
    tensors.refuse_others({W_enc, W_dec, "b_enc", "b_dec", "threshold"})
    return weights
