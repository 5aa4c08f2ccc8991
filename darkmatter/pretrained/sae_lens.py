"""SAEs in sae-lens's own format that are read in blocks: TopK, JumpReLU and ReLU, and ReLU with tanh after it."""

from collections.abc import Mapping
from pathlib import Path

import numpy as np

from darkmatter.artifacts import ArtifactError
from darkmatter.pretrained.sae_lens_config import FACTOR, STREAMED, Config, check_factor, read_config
from darkmatter.pretrained.sae_lens_options import OPTIONS
from darkmatter.pretrained.tensors import Tensors
from darkmatter.pretrained.weights import Read, Weights, check_shapes

__all__ = ["ONLY_DECOMPOSE", "OPTIONS", "read_sae_lens"]

ONLY_DECOMPOSE = (
    "codes and W_dec alone do not give its Sae(x), so it cannot stand in the graph. `darkmatter decompose --sae` runs "
    "it with sae-lens's own encode and decode"
)
LATENT_FACTORS = ("scaling_factor", "finetuning_scaling_factor")  # of each latent's value; versions 1 to 5


def read_sae_lens(paths: Mapping[str, Path], factor: float | None = None) -> Read:
    """sae-lens: cfg.json and sae_weights.safetensors. A norm factor s is folded: W_enc · s, W_dec / s, b_dec / s."""
    config = read_config(paths["cfg.json"])
    if not config.streamed:
        raise ArtifactError(
            f"{config.where}: {config.architecture} with normalize_activations {config.normalisation}: {ONLY_DECOMPOSE}"
        )
    return read_weights(config, paths, factor), config.hook


def read_weights(config: Config, paths: Mapping[str, Path], factor: float | None) -> Weights:
    s = check_factor(factor, config) if config.normalisation == FACTOR else 1.0
    found = Tensors.of_safetensors(paths["sae_weights.safetensors"])
    jump = config.architecture == "jumprelu"
    weights = Weights(
        STREAMED[config.architecture],
        found.matrix("W_enc", latents_first=False).scaled(s),
        found.matrix("W_dec", latents_first=True).scaled(1 / s),
        found.vector("b_enc"),
        found.vector("b_dec") / np.float32(s),
        found.vector("threshold") if jump else None,
        config.k,
        subtract_b_dec=config.subtract_b_dec,
        norm_in_values=config.norm_in_values,
        tanh=config.tanh,
    )
    used = {"W_enc", "W_dec", "b_enc", "b_dec"} | ({"threshold"} if jump else set())
    for name in found.arrays.keys() & set(LATENT_FACTORS):
        if not (found.vector(name) == 1).all():
            raise ArtifactError(
                f"{found.path}: {name} multiplies each latent's value, which sae-lens does no longer. Multiply each "
                f"row of W_dec by its {name}, and save the SAE without it"
            )
        used.add(name)  # older versions wrote it without using it
    found.refuse_others(used)
    check_shapes(weights, config.where, config.d_sae, config.d_in)
    return weights
