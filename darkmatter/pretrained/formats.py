"""The formats in which SAEs are published, each read into `Weights` without copying a matrix.

Only formats of arrays are read. Six loaders of sae-lens end in a bare `torch.load`, which runs code from the file:
what they serve is refused, as is what is no SAE of one activation.
"""

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from darkmatter.artifacts import ArtifactError, read_json
from darkmatter.pretrained.matrices import Matrix, map_npz, map_safetensors
from darkmatter.pretrained.weights import Weights, check_shapes

Read = tuple[Weights, str | None]  # the weights, and the hookpoint in the words of their configuration
FACTOR_TOLERANCE = 1e-3  # the registry rounds its factors


def read_gemma_scope(paths: Mapping[str, Path], factor: float | None = None) -> Read:
    """Gemma Scope: params.npz with W_enc [d_model, latent], W_dec [latent, d_model], biases and thresholds."""
    path = paths["params.npz"]
    arrays = map_npz(path)
    found = Tensors(path, {name: (array, False) for name, array in arrays.items()})
    return jumprelu(found, "W_enc", "W_dec"), None


def read_gemma_scope_2(paths: Mapping[str, Path], factor: float | None = None) -> Read:
    """Gemma Scope 2: params.safetensors with the same arrays, W_enc and W_dec in lower case."""
    found = Tensors.of_safetensors(paths["params.safetensors"])
    if "affine_skip_connection" in found.arrays:
        raise ArtifactError(f"{found.path} has a skip connection: it is a transcoder, not an SAE of one activation")
    return jumprelu(found, "w_enc", "w_dec"), None


def jumprelu(found: "Tensors", W_enc: str, W_dec: str) -> Weights:
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


def read_llama_scope(paths: Mapping[str, Path], factor: float | None = None) -> Read:
    """Llama Scope: hyperparams.json and checkpoints/final.safetensors, trained on activations times a norm factor.

    With s = √d_model / (mean activation norm), folding gives W_enc · s, W_dec / s, b_dec / s. The published threshold
    belongs to pre-activations divided by s, so it is multiplied by s: without that L0 comes out far too large
    (sae-lens, pull request 483).
    """
    facts = read_json(paths["hyperparams.json"])
    where = str(paths["hyperparams.json"])
    if facts.get("act_fn", "jumprelu") != "jumprelu" or facts.get("use_glu_encoder"):
        raise ArtifactError(f"{where}: activation {facts.get('act_fn')!r} is not the JumpReLU of the published SAEs")
    s = math.sqrt(facts["d_model"]) / facts["dataset_average_activation_norm"]["in"]
    if factor is not None and abs(s / factor - 1) > FACTOR_TOLERANCE:
        raise ArtifactError(
            f"{where}: its norm factor √d_model / norm = {s:.6g} is not the {factor:.6g} of sae-lens's registry: it "
            "belongs to another SAE. Check the reference and the revision."
        )
    found = Tensors.of_safetensors(paths["checkpoints/final.safetensors"])
    weights = Weights(
        "jumprelu",
        found.matrix("encoder.weight", latents_first=True).scaled(s),
        found.matrix("decoder.weight", latents_first=False).scaled(1 / s),
        found.vector("encoder.bias"),
        found.vector("decoder.bias") / np.float32(s),
        np.full(facts["d_sae"], facts["jump_relu_threshold"] * s, dtype=np.float32),
    )
    found.refuse_others({"encoder.weight", "decoder.weight", "encoder.bias", "decoder.bias"})
    check_shapes(weights, where, facts["d_sae"], facts["d_model"])
    return weights, facts.get("hook_point_in")


def read_sparsify(paths: Mapping[str, Path], factor: float | None = None) -> Read:
    """sparsify: cfg.json and sae.safetensors; W_dec [latent, d_model] as it is, and b_dec always leaves the input.

    sae-lens's converter transposes W_dec, and keeps b_dec in the input when the decoder is normalised.
    """
    facts = read_json(paths["cfg.json"])
    where = str(paths["cfg.json"])
    for option in ("transcode", "skip_connection", "embed_skip", "gram_lookup", "signed"):
        if facts.get(option):
            raise ArtifactError(f"{where}: `{option}` is set: Sae(x) is not a sum of latents of x chosen by TopK alone")
    if facts.get("activation", "topk") != "topk":
        raise ArtifactError(f"{where}: activation {facts['activation']!r} is not TopK")
    found = Tensors.of_safetensors(paths["sae.safetensors"])
    weights = Weights(
        "topk",
        found.matrix("encoder.weight", latents_first=True),
        found.matrix("W_dec", latents_first=True),
        found.vector("encoder.bias"),
        found.vector("b_dec"),
        k=facts["k"],
        subtract_b_dec=True,
    )
    found.refuse_others({"encoder.weight", "W_dec", "encoder.bias", "b_dec"})
    d_sae = facts.get("num_latents") or facts["d_in"] * facts["expansion_factor"]
    check_shapes(weights, where, d_sae, facts["d_in"])
    folder = paths["cfg.json"].parent.name
    layer = re.search(r"layers[._](\d+)$", folder)
    return weights, f"resid_post.{layer[1]}" if layer else None


def read_sae_lens(paths: Mapping[str, Path], factor: float | None = None) -> Read:
    """sae-lens: cfg.json and sae_weights.safetensors. A norm factor s is folded: W_enc · s, W_dec / s, b_dec / s."""
    where = str(paths["cfg.json"])
    facts = sae_lens_config(read_json(paths["cfg.json"]))
    architecture = {"topk": "topk", "jumprelu": "jumprelu", "standard": "relu"}.get(facts.get("architecture", ""))
    if architecture is None:
        raise ArtifactError(f"{where}: architecture {facts.get('architecture')!r} is none of topk, jumprelu, standard")
    normalisation = facts.get("normalize_activations", "none")
    s = factor if normalisation == "expected_average_only_in" and factor else 1.0
    if normalisation != "none" and s == 1.0:
        raise ArtifactError(
            f"{where}: activations are normalised by {normalisation!r} and the factor is not folded into the weights, "
            "so they do not apply to raw activations. Fold it with sae-lens and save the SAE again."
        )
    found = Tensors.of_safetensors(paths["sae_weights.safetensors"])
    jump = architecture == "jumprelu"
    weights = Weights(
        architecture,
        found.matrix("W_enc", latents_first=False).scaled(s),
        found.matrix("W_dec", latents_first=True).scaled(1 / s),
        found.vector("b_enc"),
        found.vector("b_dec") / np.float32(s),
        found.vector("threshold") if jump else None,
        facts["k"] if architecture == "topk" else None,
        subtract_b_dec=facts.get("apply_b_dec_to_input", True),
        norm_in_values=bool(facts.get("rescale_acts_by_decoder_norm", False)),
    )
    used = {"W_enc", "W_dec", "b_enc", "b_dec"} | ({"threshold"} if jump else set())
    if "scaling_factor" in found.arrays and (found.vector("scaling_factor") == 1).all():
        used.add("scaling_factor")  # older versions wrote it without using it
    found.refuse_others(used)
    check_shapes(weights, where, facts["d_sae"], facts["d_in"])
    return weights, (facts.get("metadata") or {}).get("hook_name")


def sae_lens_config(facts: dict[str, Any]) -> dict[str, Any]:
    """The configuration in sae-lens 6's words; sae-lens translates an older one, which may call TopK `standard`."""
    version = facts.get("sae_lens_version") or (facts.get("metadata") or {}).get("sae_lens_version")
    if version and int(version.split(".")[0]) >= 6:
        return facts
    from sae_lens.loading.pretrained_sae_loaders import handle_config_defaulting

    return handle_config_defaulting(facts)


@dataclass(frozen=True)
class Tensors:
    """The tensors of one file by name, and what is wrong when one is not as it should be."""

    path: Path
    arrays: dict[str, tuple[np.ndarray, bool]]

    @classmethod
    def of_safetensors(cls, path: Path) -> "Tensors":
        return cls(path, map_safetensors(path))

    def get(self, name: str, dimensions: int) -> tuple[np.ndarray, bool]:
        if name not in self.arrays:
            raise ArtifactError(f"{self.path} has no {name} (it has {', '.join(sorted(self.arrays))}): another format?")
        array, bfloat16 = self.arrays[name]
        if array.ndim != dimensions:
            raise ArtifactError(f"{self.path}: {name} has shape {list(array.shape)}, expected {dimensions} dimensions")
        return array, bfloat16

    def matrix(self, name: str, latents_first: bool) -> Matrix:
        array, bfloat16 = self.get(name, 2)
        return Matrix(array, latents_first, bfloat16)

    def vector(self, name: str) -> np.ndarray:
        array, bfloat16 = self.get(name, 1)
        return Matrix(array[None], True, bfloat16).block(0, 1)[0]

    def refuse_others(self, known: set[str]) -> None:
        if others := sorted(self.arrays.keys() - known):
            raise ArtifactError(
                f"{self.path}: nothing here uses {', '.join(others)}. A part of the SAE would be left out in silence."
            )


READERS = {
    "gemma-scope": read_gemma_scope,
    "gemma-scope-2": read_gemma_scope_2,
    "llama-scope": read_llama_scope,
    "sae-lens": read_sae_lens,
    "sparsify": read_sparsify,
}
