"""SAEs that only sae-lens computes: its own object, whole in memory, run by its own `encode` and `decode`.

Gated ones and the like, and all whose rows are normalised one by one: Sae(x) then depends on more than the codes.
"""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file

from darkmatter.saes.codes import check_loaded, load_sae
from darkmatter.saes.dense import DenseSae
from darkmatter.saes.published.sae_lens import read_gains
from darkmatter.saes.published.sae_lens_config import BATCH, FACTOR, Config
from darkmatter.saes.published.scalers import Scale
from darkmatter.saes.published.tensors import Tensors
from darkmatter.storage.artifacts import ArtifactError

if TYPE_CHECKING:  # sae-lens takes 6–13 s to import: only who opens such an SAE pays for it
    from sae_lens import SAE


def open_dense(config: Config, folder: Path, scale: Scale, device: str) -> "SAE":
    """sae-lens's object, in float32 whatever the file's dtype, on raw activations and with all that its file asks for.

    Raises:
        ArtifactError: sae-lens cannot load it, or reads its configuration otherwise than it is read here.
    """
    check_no_gains(folder, config)
    changed: dict[str, Any] = {"normalize_activations": config.normalisation}
    if config.architecture in BATCH:
        changed["rescale_acts_by_decoder_norm"] = config.norm_in_values  # sae-lens's default is not that of older files
        sae = for_inference(folder, config, scale, changed)
    else:
        sae = load_sae(folder, config.architecture, config.d_sae, config.d_in, changed)
        fold(sae, config, scale)
    options: dict[str, Any] = {"apply_b_dec_to_input": config.subtract_b_dec}
    if config.k is not None:
        options |= {"k": config.k, "rescale_acts_by_decoder_norm": config.norm_in_values}
    for name, wanted in options.items():
        if (result := getattr(sae.cfg, name)) != wanted:
            raise ArtifactError(f"{config.where}: sae-lens reads {name} as {result}, the file says {wanted}")
    if config.tanh:
        sae.activation_fn = torch.nn.Sequential(torch.nn.ReLU(), torch.nn.Tanh())
    return sae if device == "cpu" else sae.to(device)


def check_no_gains(folder: Path, config: Config) -> None:
    """Refuse a factor of each latent's value, which sae-lens's objects no longer know."""
    result = Tensors.of_safetensors(folder / "sae_weights.safetensors")
    if read_gains(result, config) is not None:
        raise ArtifactError(
            f"{result.path} has a factor of each latent's value (`finetuning_scaling_factor`), which sae-lens no "
            "longer applies. Multiply the rows of W_dec by it in a copy, leave the tensor out and set the key to false"
        )


def check_width(config: Config, where: str, d_sae: int | None, d_model: int | None) -> None:
    """Hold d_sae and d_in against what its name or a manifest says; None says nothing."""
    for name, result, wanted in (("d_sae", config.d_sae, d_sae), ("d_in", config.d_in, d_model)):
        if wanted not in (None, result):
            raise ArtifactError(f"{where}: {name} is {result}, expected {wanted}: the files are another SAE's")


def for_inference(folder: Path, config: Config, scale: Scale, changed: dict[str, Any]) -> "SAE":
    """The JumpReLU SAE that sae-lens makes of a checkpoint of BatchTopK, whose own codes depend on the whole batch."""
    from sae_lens import JumpReLUSAE, JumpReLUSAEConfig, TrainingSAE

    training = load_sae(folder, config.architecture, config.d_sae, config.d_in, changed, TrainingSAE)
    fold(training, config, scale)
    weights = training.state_dict()
    training.process_state_dict_for_saving_inference(weights)
    facts = training.cfg.get_inference_sae_cfg_dict()
    sae = JumpReLUSAE(JumpReLUSAEConfig.from_dict(facts))
    sae.load_state_dict(weights)
    return check_loaded(sae, folder, "jumprelu", config.d_sae, config.d_in)


def fold(sae: "SAE", config: Config, scale: Scale) -> None:
    """Fold one scale for all rows into the weights; normalisation of each row stays in `encode` and `decode`."""
    if config.normalisation == FACTOR:
        sae.fold_activation_norm_scaling_factor(scale.factor)
    if scale.whitening is not None:
        try:
            result = load_file(scale.whitening)
            sae.fold_activation_whitening(result["mean"], result["matrix"], result["inverse_matrix"])
        except (SafetensorError, KeyError, RuntimeError, NotImplementedError) as error:
            raise ArtifactError(f"{scale.whitening} does not whiten {config.where} ({error})") from None


def measurable(sae: "SAE", where: str) -> DenseSae:
    """Such an SAE as the gate asks for it."""
    return DenseSae(sae.encode, sae.decode, sae.cfg.d_sae, sae.cfg.d_in, sae.device, where=where)
