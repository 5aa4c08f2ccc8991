"""Tiny transcoders in memory and in the layouts in which they are published, and y, which depends on x nonlinearly."""

import json

import numpy as np
import torch
from api_case import D_MODEL, D_SAE, generator, make_activations
from safetensors.numpy import save_file

X = make_activations()


def make_targets(d_out):
    """y [context, position, d_out]: a linear function of x, a rectified one, and noise."""
    random = np.random.default_rng(1)
    x = X / X.std()
    linear, inner, outer = (random.standard_normal(shape) for shape in ((D_MODEL, d_out), (D_MODEL, 20), (20, d_out)))
    y = x @ linear + np.maximum(x @ inner, 0) @ outer / 4 + 0.1 * random.standard_normal((*X.shape[:2], d_out)) + 3
    return y.astype(np.float32)


def make_weights(d_out, skip, seed=0):
    """W_enc [d_in, latent] and the like as NumPy; the decoder is fitted so that T(x) explains y, and W_skip too."""
    x, y = X.reshape(-1, D_MODEL), make_targets(d_out).reshape(-1, d_out)
    W_enc = torch.randn(D_MODEL, D_SAE, generator=generator()).numpy()
    b_enc = -np.quantile(x @ W_enc, 0.5, axis=0).astype(np.float32)
    threshold = np.full(D_SAE, 0.5, dtype=np.float32)
    pre = x @ W_enc + b_enc
    latents = np.where(pre > threshold, pre, 0)
    ones = np.ones((len(x), 1))
    columns = np.concatenate([latents, ones, x] if skip else [latents, ones], 1)
    fitted = np.linalg.lstsq(columns, y, rcond=None)[0].astype(np.float32)
    weights = {"W_enc": W_enc, "b_enc": b_enc, "W_dec": fitted[:D_SAE], "b_dec": fitted[D_SAE], "threshold": threshold}
    return weights | ({"skip": fitted[D_SAE + 1 :]} if skip else {})


def output_of(weights, x, skip=True):
    """T(x), written out."""
    pre = x @ weights["W_enc"] + weights["b_enc"]
    result = np.where(pre > np.maximum(weights.get("threshold", 0), 0), pre, 0) @ weights["W_dec"] + weights["b_dec"]
    return result + x @ weights["skip"] if skip and "skip" in weights else result


def save(folder, arrays, name, config, config_name):
    folder.mkdir(parents=True)
    save_file({key: np.ascontiguousarray(array) for key, array in arrays.items()}, folder / name)
    (folder / config_name).write_text(json.dumps(config))
    return folder


def sae_lens(folder, weights):
    """As sae-lens saves it; W_skip is [d_out, d_in] there."""
    jump, skip = "threshold" in weights, "skip" in weights
    architecture = f"{'jumprelu_' if jump else ''}{'skip_' if skip else ''}transcoder"
    arrays = {name: array for name, array in weights.items() if name != "skip"}
    arrays |= {"W_skip": weights["skip"].T} if skip else {}
    d_out = len(weights["b_dec"])
    config = {"architecture": architecture, "d_in": D_MODEL, "d_sae": D_SAE, "d_out": d_out, "dtype": "float32"}
    config |= {"apply_b_dec_to_input": False, "normalize_activations": "none", "reshape_activations": "none"}
    metadata = {"hook_name": "blocks.1.ln2.hook_normalized", "hook_name_out": "blocks.1.hook_mlp_out"}
    config |= {"device": "cpu", "metadata": metadata | {"sae_lens_version": "6.54.12"}}
    return save(folder, arrays, "sae_weights.safetensors", config, "cfg.json")


def gemma_scope_2(folder, weights):
    """google/gemma-scope-2-*: transcoder_all/layer_9_width_16k_l0_small, and the same with _affine at its end."""
    place = "model.layers.9.{}_feedforward_layernorm.output"
    arrays = {name.lower(): array for name, array in weights.items() if name != "skip"}
    arrays |= {"affine_skip_connection": weights["skip"]} if "skip" in weights else {}
    config = {"type": "transcoder", "architecture": "jump_relu", "width": D_SAE, "affine_connection": "skip" in weights}
    config |= {"model_name": "gemma-v3-270m-pt", "l0": 10}
    config |= {"hf_hook_point_in": place.format("pre"), "hf_hook_point_out": place.format("post")}
    return save(folder, arrays, "params.safetensors", config, "config.json")


def gemma_scope(folder, weights):
    """google/gemma-scope-2b-pt-transcoders: layer_0/width_16k/average_l0_76."""
    folder.mkdir(parents=True)
    np.savez(folder / "params.npz", **weights)
    return folder


def layer(folder, weights):
    """mwhanna/qwen3-4b-transcoders: layer_0.safetensors, ReLU, W_enc [latent, d_in]."""
    folder.mkdir(parents=True)
    arrays = {name: weights[name] for name in ("b_enc", "W_dec", "b_dec")} | {"W_enc": weights["W_enc"].T}
    arrays |= {"W_skip": weights["skip"].T} if "skip" in weights else {}
    save_file({key: np.ascontiguousarray(array) for key, array in arrays.items()}, folder / "layer_0.safetensors")
    return folder / "layer_0.safetensors"
