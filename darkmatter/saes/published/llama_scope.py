"""SAEs of Llama Scope, in the format of OpenMOSS's Language-Model-SAEs: JumpReLU on activations times a norm factor."""

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from darkmatter.saes.published.options import TRANSCODER, Option, alike, check_one_place, check_options
from darkmatter.saes.published.tensors import Tensors
from darkmatter.saes.published.weights import Read, Weights, check_shapes
from darkmatter.storage.artifacts import ArtifactError
from darkmatter.storage.text_files import json_of

FACTOR_TOLERANCE = 1e-3  # the registry rounds its factors
DATASET, UNSCALED = "dataset-wise", ("inference", "none")
SCALES = (DATASET, *UNSCALED)
NAMED = ("act_fn", "norm_activation", "apply_decoder_bias_to_pre_encoder")  # without them each version has its own
NORMS = "dataset_average_activation_norm"
TRAINING = (
    "bias_init_method init_decoder_norm init_encoder_norm init_encoder_with_decoder_transpose init_search "
    "decoder_exactly_fixed_norm force_unit_decoder_norm lp l1_coefficient l1_coefficient_warmup_steps "
    "use_batch_norm_mse use_ghost_grads jumprelu_threshold_grad_scale jumprelu_threshold_window"
)
RUNNING = (
    "device dtype seed tp_size ddp_size sae_pretrained_name_or_path strict_loading use_triton_kernel "
    "sparsity_threshold_for_triton_spmm_kernel"
)

OPTIONS = (
    *alike("read", "sizes of the weights", "d_model d_sae expansion_factor"),
    *alike("read", "one activation in and out; others are a transcoder's", "hook_point_in hook_point_out"),
    *alike("read", "the norm factor s = √d_model / norm is folded into the weights", NORMS),
    Option("jump_relu_threshold", "read", "one threshold for all latents, not negative"),
    Option("sparsity_include_decoder_norm", "read", "thresholds hold for latent · ‖W_dec‖; true when it is missing"),
    Option("use_decoder_bias", "read", "without it b_dec is 0"),
    Option("apply_decoder_bias_to_pre_encoder", "read", "b_dec leaves the input; must be there"),
    Option("act_fn", "refused", "only the JumpReLU of the published SAEs is read; must be there", ("jumprelu",)),
    Option("norm_activation", "refused", "the scale of a row or batch is no fixed factor; must be there", SCALES),
    Option("use_glu_encoder", "refused", "a second encoder gates the latents"),
    Option("sae_type", "refused", "it reads or predicts several activations", ("sae",)),
    *alike("no effect", "of TopK during training", "top_k initial_k k_warmup_steps"),
    *alike("no effect", "how weights began, were held and penalised in training; the file has the outcome", TRAINING),
    *alike("no effect", "where and how it was run or loaded", RUNNING),
)


def read_llama_scope(paths: Mapping[str, Path], factor: float | None = None) -> Read:
    """Llama Scope: hyperparams.json and checkpoints/final.safetensors, trained on activations times a norm factor.

    With s = √d_model / (mean activation norm), folding gives W_enc · s, W_dec / s, b_dec / s. The published threshold θ
    belongs to pre-activations divided by s, so a latent fires above θ · s: without that L0 comes out far too large
    (sae-lens, pull request 483). With `sparsity_include_decoder_norm`, which every published SAE has, the authors
    compare (pre-activation / s) · ‖W_dec‖ with θ. ‖W_dec / s‖ has the 1 / s, and θ stays as it is.
    """
    facts = json_of(paths["hyperparams.json"])
    where = str(paths["hyperparams.json"])
    check_options(facts, OPTIONS, where)
    check_one_place(facts.get("hook_point_in"), facts.get("hook_point_out"), where)
    check_named(facts, where)
    s = norm_factor(facts, where)
    if factor is not None and abs(s / factor - 1) > FACTOR_TOLERANCE:
        raise ArtifactError(
            f"{where}: its norm factor √d_model / norm = {s:.6g} is not the {factor:.6g} of sae-lens's registry: it "
            "belongs to another SAE. Check the reference and the revision."
        )
    result = Tensors.of_safetensors(paths["checkpoints/final.safetensors"])
    d_sae = facts.get("d_sae") or facts["d_model"] * facts["expansion_factor"]
    biased = bool(facts.get("use_decoder_bias", True))
    by_norm = bool(facts.get("sparsity_include_decoder_norm", True))
    weights = Weights(
        "jumprelu",
        result.matrix("encoder.weight", latents_first=True).scaled(s),
        result.matrix("decoder.weight", latents_first=False).scaled(1 / s),
        result.vector("encoder.bias"),
        result.vector("decoder.bias") / np.float32(s) if biased else np.zeros(facts["d_model"], dtype=np.float32),
        np.full(d_sae, threshold(facts, where) * (1 if by_norm else s), dtype=np.float32),
        subtract_b_dec=biased and bool(facts["apply_decoder_bias_to_pre_encoder"]),
        norm_in_values=by_norm,
    )
    result.refuse_others({"encoder.weight", "decoder.weight", "encoder.bias"} | ({"decoder.bias"} if biased else set()))
    check_shapes(weights, where, d_sae, facts["d_model"])
    return weights, facts.get("hook_point_in")


def check_named(facts: Mapping[str, Any], where: str) -> None:
    """Refuse a file without a key for which the versions of Language-Model-SAEs have different defaults."""
    if missing := [name for name in NAMED if facts.get(name) is None]:
        raise ArtifactError(
            f"{where}: `{missing[0]}` is missing, and what that means depends on the version that wrote the file. Add "
            "it to a copy; the published SAEs have act_fn jumprelu, norm_activation dataset-wise and "
            "apply_decoder_bias_to_pre_encoder false"
        )


def norm_factor(facts: Mapping[str, Any], where: str) -> float:
    """s: what activations were multiplied by in training; 1 where the weights are for activations as they are.

    The norms are keyed `in` and `out`, or by hook point.
    """
    if facts["norm_activation"] in UNSCALED:
        return 1.0
    norms = facts[NORMS]
    read = norms.get("in") or norms[facts.get("hook_point_in", "in")]
    predicted = norms.get("out", read)
    if predicted != read:
        raise ArtifactError(
            f"{where}: `{NORMS}` is {read} in and {predicted} out, but one activation has one norm: {TRANSCODER}."
        )
    return math.sqrt(facts["d_model"]) / read


def threshold(facts: Mapping[str, Any], where: str) -> float:
    value = facts["jump_relu_threshold"]
    if value < 0:
        raise ArtifactError(f"{where}: `jump_relu_threshold` is {value}: negative latents would fire")
    return value
