"""SAEs in sae-lens's own format that are read in blocks: TopK, JumpReLU and ReLU, and ReLU with tanh after it."""

from collections.abc import Mapping
from pathlib import Path

import numpy as np
from jaxtyping import Float

from darkmatter.saes.published.sae_lens_config import FACTOR, STREAMED, Config, check_factor, read_config
from darkmatter.saes.published.sae_lens_options import OPTIONS
from darkmatter.saes.published.tensors import Tensors
from darkmatter.saes.published.weights import Read, Weights, check_shapes
from darkmatter.storage.artifacts import ArtifactError

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
    result = Tensors.of_safetensors(paths["sae_weights.safetensors"])
    jump = config.architecture == "jumprelu"
    weights = Weights(
        STREAMED[config.architecture],
        result.matrix("W_enc", latents_first=False).scaled(s),
        result.matrix("W_dec", latents_first=True).scaled(1 / s),
        result.vector("b_enc"),
        result.vector("b_dec") / np.float32(s),
        result.vector("threshold") if jump else None,
        config.k,
        subtract_b_dec=config.subtract_b_dec,
        norm_in_values=config.norm_in_values,
        tanh=config.tanh,
        gains=read_gains(result, config),
    )
    used = {"W_enc", "W_dec", "b_enc", "b_dec"} | ({"threshold"} if jump else set())
    result.refuse_others(used | set(gains_of(result)))
    check_shapes(weights, config.where, config.d_sae, config.d_in)
    return weights


def read_gains(tensors: Tensors, config: Config) -> Float[np.ndarray, " latent"] | None:
    """The factor of each latent's value that finetuning left; None where all are 1, which versions 1 to 5 often wrote.

    Raises:
        ArtifactError: the configuration says otherwise than the weights whether there are factors.
    """
    names = gains_of(tensors)
    if not names and config.finetuned:
        raise ArtifactError(
            f"{config.where}: `finetuning_scaling_factor` is true, but the weights have no "
            f"{' or '.join(LATENT_FACTORS)}. Where it has been multiplied into W_dec, set the key to false in a copy"
        )
    if not names or (tensors.vector(names[0]) == 1).all():
        return None
    if config.finetuned is False:
        raise ArtifactError(
            f"{tensors.path}: {names[0]} multiplies each latent's value, but `finetuning_scaling_factor` is false in "
            f"{config.where}. If it belongs to the SAE, set the key to true in a copy, else leave the tensor out"
        )
    return tensors.vector(names[0])


def gains_of(tensors: Tensors) -> list[str]:
    """The name of the tensor with a factor of each latent; a second one is left for `refuse_others`."""
    return [name for name in LATENT_FACTORS if name in tensors.arrays][:1]
