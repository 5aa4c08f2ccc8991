"""SAEs of Gemma Scope and Gemma Scope 2: JumpReLU, one file of arrays."""

from collections.abc import Mapping
from pathlib import Path

from darkmatter.artifacts import ArtifactError
from darkmatter.pretrained.tensors import Tensors
from darkmatter.pretrained.weights import Read, Weights


def read_gemma_scope(paths: Mapping[str, Path], factor: float | None = None) -> Read:
    """Gemma Scope: params.npz with W_enc [d_model, latent], W_dec [latent, d_model], biases and thresholds."""
    return jumprelu(Tensors.of_npz(paths["params.npz"]), "W_enc", "W_dec"), None


def read_gemma_scope_2(paths: Mapping[str, Path], factor: float | None = None) -> Read:
    """Gemma Scope 2: params.safetensors with the same arrays, W_enc and W_dec in lower case."""
    found = Tensors.of_safetensors(paths["params.safetensors"])
    if "affine_skip_connection" in found.arrays:
        raise ArtifactError(f"{found.path} has a skip connection: it is a transcoder, not an SAE of one activation")
    return jumprelu(found, "w_enc", "w_dec"), None


def jumprelu(found: Tensors, W_enc: str, W_dec: str) -> Weights:
    weights = Weights(
        "jumprelu",
        found.matrix(W_enc, latents_first=False),
        found.matrix(W_dec, latents_first=True),
        found.vector("b_enc"),
        found.vector("b_dec"),
        found.vector("threshold"),
    )
    found.refuse_others({W_enc, W_dec, "b_enc", "b_dec", "threshold"})
    return weights
