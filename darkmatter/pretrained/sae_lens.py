"""SAEs in sae-lens's own format: TopK, JumpReLU and ReLU."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from darkmatter.artifacts import ArtifactError, read_json
from darkmatter.pretrained.tensors import Tensors
from darkmatter.pretrained.weights import Read, Weights, check_shapes


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
