"""SAEs of sae-lens's architectures written out in float64 NumPy, and their files without sae-lens."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import save_file

D_MODEL, D_SAE, K = 8, 24, 3
FACTOR = 1.7


def make_rows(contexts: int = 12, positions: int = 40) -> np.ndarray:
    """float32 [context, position, d_model] whose mean and norms are not 0 and 1."""
    rng = np.random.default_rng(0)
    x = rng.standard_normal((contexts, positions, D_MODEL)) @ rng.standard_normal((D_MODEL, D_MODEL))
    return (x * rng.uniform(0.5, 2, (contexts, positions, 1)) + rng.standard_normal(D_MODEL)).astype(np.float32)


def make_weights(architecture: str, dtype: torch.dtype = torch.float32) -> dict[str, np.ndarray]:
    """What the file of `dtype` holds, in float64."""
    rng = np.random.default_rng(1)
    weights = {
        "W_enc": rng.standard_normal((D_MODEL, D_SAE)) * 0.5,
        "W_dec": rng.standard_normal((D_SAE, D_MODEL)) * rng.uniform(0.2, 0.6, (D_SAE, 1)),
        "b_dec": rng.standard_normal(D_MODEL) * 0.3,
    }
    if architecture == "gated":
        weights |= {name: rng.standard_normal(D_SAE) * 0.3 for name in ("b_gate", "b_mag", "r_mag")}
    elif architecture == "matching_pursuit":
        del weights["W_enc"]
    else:
        weights["b_enc"] = rng.standard_normal(D_SAE) * 0.3
    if architecture == "jumprelu":
        weights["threshold"] = rng.uniform(0.1, 1, D_SAE)
    return {name: torch.from_numpy(array).to(dtype).double().numpy() for name, array in weights.items()}


def config_of(architecture: str, normalisation: str = "none", **changed: Any) -> dict[str, Any]:
    config = {"architecture": architecture, "d_in": D_MODEL, "d_sae": D_SAE, "dtype": "float32", "device": "cpu"}
    config |= {"apply_b_dec_to_input": True, "normalize_activations": normalisation, "reshape_activations": "none"}
    if "topk" in architecture:
        config["k"] = K
    return config | {"metadata": {"sae_lens_version": "6.54.12", "hook_name": "blocks.3.hook_resid_post"}} | changed


def write(
    folder: Path, config: dict[str, Any], weights: dict[str, np.ndarray], dtype: torch.dtype = torch.float32
) -> Path:
    folder.mkdir(parents=True)
    (folder / "cfg.json").write_text(json.dumps(config))
    tensors = {name: torch.tensor(array).to(dtype).contiguous() for name, array in weights.items()}
    save_file(tensors, folder / "sae_weights.safetensors")
    return folder


def write_factor(folder: Path, factor: float | None = FACTOR) -> None:
    """As a training checkpoint has it."""
    (folder / "activation_scaler.json").write_text(json.dumps({"scaling_factor": factor, "has_whitening": False}))


def naive(
    config: dict[str, Any], weights: dict[str, np.ndarray], x: np.ndarray, tanh: bool = False, factor: float = FACTOR
) -> tuple[np.ndarray, np.ndarray]:
    """(latents, Sae(x)) of rows, row by row."""
    latents, outputs = zip(
        *(naive_row(config, weights, row, tanh, factor) for row in x.astype(np.float64)), strict=True
    )
    return np.array(latents), np.array(outputs)


def naive_row(config, weights, row, tanh, factor):
    way, d_model = config["normalize_activations"], len(row)
    shift, scale, back = 0.0, 1.0, 1.0
    if way == "layer_norm":
        shift = row.mean()
        back = np.sqrt(((row - shift) ** 2).sum() / (d_model - 1))
        scale = 1 / (back + 1e-5)
    elif way == "constant_norm_rescale":
        scale = np.sqrt(d_model) / np.sqrt((row**2).sum())
        back = 1 / scale
    elif way == "expected_average_only_in":
        scale, back = factor, 1 / factor
    z = (row - shift) * scale
    inside = z - weights["b_dec"] if config["apply_b_dec_to_input"] else z
    acts = naive_latents(config, weights, inside)
    if tanh:
        acts = np.tanh(acts)
    decoder = weights["W_dec"]
    if config.get("rescale_acts_by_decoder_norm"):
        decoder = decoder / np.linalg.norm(decoder, axis=1, keepdims=True)
    return acts, (acts @ decoder + weights["b_dec"]) * back + shift


def naive_latents(config, weights, z):
    architecture = config["architecture"]
    if architecture == "matching_pursuit":
        return naive_pursuit(weights["W_dec"], z, config.get("residual_threshold", 1e-2), config["max_iterations"])
    pre = z @ weights["W_enc"]
    if architecture == "gated":
        return np.where(
            pre + weights["b_gate"] > 0, np.maximum(pre * np.exp(weights["r_mag"]) + weights["b_mag"], 0), 0
        )
    pre = pre + weights["b_enc"]
    if config.get("rescale_acts_by_decoder_norm"):
        pre = pre * np.linalg.norm(weights["W_dec"], axis=1)
    if architecture == "jumprelu":
        return np.where(pre > weights["threshold"], pre, 0)
    if architecture == "standard":
        return np.maximum(pre, 0)
    kept = np.zeros_like(pre)
    chosen = np.argsort(-(np.abs(pre) if architecture == "abstopk" else pre))[: config["k"]]
    kept[chosen] = pre[chosen] if architecture == "abstopk" else np.maximum(pre[chosen], 0)
    return kept


def naive_pursuit(decoder, residual, threshold, steps):
    acts, residual = np.zeros(len(decoder)), residual.copy()
    for _ in range(steps):
        before = acts != 0
        best = np.argmax(np.maximum(decoder @ residual, 0))
        value = max(decoder[best] @ residual, 0)
        acts[best] += value
        residual -= value * decoder[best]
        if ((acts != 0) == before).all() or np.linalg.norm(residual) < threshold:
            break
    return acts
