"""SAEs of Llama Scope: JumpReLU, trained on activations times a norm factor."""

import math
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from darkmatter.artifacts import ArtifactError, read_json
from darkmatter.pretrained.tensors import Tensors
from darkmatter.pretrained.weights import Read, Weights, check_shapes

FACTOR_TOLERANCE = 1e-3  # the registry rounds its factors


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
