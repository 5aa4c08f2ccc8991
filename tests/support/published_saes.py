"""Tiny SAEs in the formats and under the names of published ones: true widths, few dimensions, most latents dead."""

import json
import math
from pathlib import Path

import numpy as np
import torch
from safetensors.numpy import save_file
from safetensors.torch import load_file as load_torch
from safetensors.torch import save_file as save_torch

D_MODEL = 48
GEMMA = ("google/gemma-scope-2b-pt-res", "layer_12/width_16k/average_l0_41")
GEMMA_2 = ("google/gemma-scope-2-270m-pt", "attn_out/layer_9_width_16k_l0_small")
LLAMA = ("fnlp/Llama3_1-8B-Base-LXR-8x", "Llama3_1-8B-Base-L15R-8x")
LLAMA_FACTOR = 5.91907514450867  # of this SAE in sae-lens's registry


def toy(latents: int, seed: int = 0) -> dict[str, np.ndarray]:
    """W_enc [d_model, latent], W_dec [latent, d_model] and the rest of an SAE that explains `rows()`.

    The latents ±e_i fire above the threshold 1, on 36 of 48 dimensions on average. The others stay at 0.5 or so: a
    threshold at another scale, or ReLU, lets thousands of them fire.
    """
    rng = np.random.default_rng(seed)
    W_dec = rng.normal(size=(latents, D_MODEL)) * 0.003
    places = rng.permutation(latents)[: 2 * D_MODEL]
    W_dec[places] = np.concatenate([np.eye(D_MODEL), -np.eye(D_MODEL)])
    W_enc = W_dec.T.copy()
    b_dec = np.linspace(-4, 4, D_MODEL)
    idle = np.full(latents, 0.5)
    idle[places] = 0
    arrays = {
        "W_enc": W_enc,
        "W_dec": W_dec,
        "b_enc": idle - b_dec @ W_enc,
        "b_dec": b_dec,
        "threshold": np.ones(latents),
    }
    return {name: np.ascontiguousarray(array, dtype=np.float32) for name, array in arrays.items()}


def rows(count: int = 200) -> np.ndarray:
    x = np.random.default_rng(1).normal(size=(count, D_MODEL)) * 3 + np.linspace(-4, 4, D_MODEL)
    return x.astype(np.float32)


def gemma_scope(root: Path, latents: int = 16384, compressed: bool = False) -> Path:
    folder = root / GEMMA[0] / GEMMA[1]
    folder.mkdir(parents=True)
    (np.savez_compressed if compressed else np.savez)(folder / "params.npz", **toy(latents))
    return folder


def gemma_scope_2(root: Path, latents: int = 16384) -> Path:
    folder = root / GEMMA_2[0] / GEMMA_2[1]
    folder.mkdir(parents=True)
    renamed = {name.replace("W_", "w_"): array for name, array in toy(latents).items()}
    save_file(renamed, folder / "params.safetensors")
    place = "model.layers.9.self_attn.o_proj.input"
    facts = {"type": "sae", "architecture": "jump_relu", "affine_connection": False, "width": latents, "l0": 20}
    facts |= {"model_name": "google/gemma-3-270m-pt", "hf_hook_point_in": place, "hf_hook_point_out": place}
    (folder / "config.json").write_text(json.dumps(facts))
    return folder


def llama_scope(
    root: Path, latents: int = 32768, factor: float = LLAMA_FACTOR, by_norm: bool = True, **changed: object
) -> Path:
    """As published: decoder columns of norm about 1.54, biases for activations times `factor`, one threshold.

    Args:
        by_norm: the threshold is for latents times the norm of their column, as in every published SAE.
        changed: keys of hyperparams.json.
    """
    folder = root / LLAMA[0] / LLAMA[1]
    (folder / "checkpoints").mkdir(parents=True)
    sae = toy(latents)
    norm = math.sqrt(D_MODEL) / factor
    facts = {
        "device": "cuda:0",
        "dtype": "torch.bfloat16",
        "d_model": D_MODEL,
        "d_sae": latents,
        "act_fn": "jumprelu",
        "jump_relu_threshold": 1.0,
        "top_k": 50,
        "hook_point_in": "blocks.15.hook_resid_post",
        "hook_point_out": "blocks.15.hook_resid_post",
        "norm_activation": "dataset-wise",
        "dataset_average_activation_norm": {"in": norm, "out": norm},
        "sparsity_include_decoder_norm": by_norm,
        "use_decoder_bias": True,
        "apply_decoder_bias_to_pre_encoder": False,
        "use_glu_encoder": False,
    } | changed
    (folder / "hyperparams.json").write_text(json.dumps(facts))
    wanted = 1.54 * np.exp(np.random.default_rng(2).normal(0, 0.1, latents))
    gain = wanted if by_norm else np.ones(latents)
    columns = sae["W_dec"] * (wanted / np.linalg.norm(sae["W_dec"], axis=1))[:, None] if by_norm else sae["W_dec"]
    weights = {
        "encoder.weight": sae["W_enc"].T / gain[:, None],
        "encoder.bias": sae["b_enc"] / gain * factor,
        "decoder.weight": columns.T,
        "decoder.bias": sae["b_dec"] * factor,
    }
    tensors = {name: torch.from_numpy(np.ascontiguousarray(array)).bfloat16() for name, array in weights.items()}
    save_torch(tensors, folder / "checkpoints" / "final.safetensors")
    return folder


def authors_llama_scope(folder: Path, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Which latents fire, and Sae(x), dense in float64 by the authors' `encode` and `decode` at inference.

    Dataset norms are first moved into the biases: b_enc / s, b_dec / s.
    """
    facts = json.loads((folder / "hyperparams.json").read_text())
    stored = {name: x.double().numpy() for name, x in load_torch(folder / "checkpoints" / "final.safetensors").items()}
    s = 1.0
    if facts["norm_activation"] == "dataset-wise":
        norms = facts["dataset_average_activation_norm"]
        s = np.sqrt(D_MODEL) / norms.get("in", norms.get(facts["hook_point_in"]))
    W, b, D = stored["encoder.weight"], stored["encoder.bias"] / s, stored["decoder.weight"]
    c = stored["decoder.bias"] / s if facts["use_decoder_bias"] else np.zeros(D_MODEL)
    x = rows.astype(np.float64) - (c if facts["apply_decoder_bias_to_pre_encoder"] else 0)
    hidden = x @ W.T + b
    score = hidden * np.linalg.norm(D, axis=0) if facts["sparsity_include_decoder_norm"] else hidden
    fires = score > facts["jump_relu_threshold"]
    return fires, (hidden * fires) @ D.T + c


def sparsify(root: Path, latents: int = 128, k: int = 8, transposed: bool = False) -> Path:
    """As the sparsify package writes it: the encoder sees x − b_dec, whatever `normalize_decoder` says."""
    folder = root / "layers.12"
    folder.mkdir(parents=True)
    sae = toy(latents)
    config = {"d_in": D_MODEL, "num_latents": latents, "expansion_factor": 32, "k": k, "normalize_decoder": True}
    (folder / "cfg.json").write_text(json.dumps(config | {"activation": "topk", "transcode": False}))
    weights = {
        "encoder.weight": np.ascontiguousarray(sae["W_enc"].T),
        "encoder.bias": sae["b_enc"] + sae["b_dec"] @ sae["W_enc"],
        "W_dec": np.ascontiguousarray(sae["W_dec"].T) if transposed else sae["W_dec"],
        "b_dec": sae["b_dec"],
    }
    save_file(weights, folder / "sae.safetensors")
    return folder


def dictionary_learning(root: Path, latents: int = 128, k: int = 8) -> Path:
    """AutoEncoderTopK of the dictionary_learning package, whose encoder sees x − b_dec."""
    folder = root / "resid_post_layer_12" / "trainer_0"
    folder.mkdir(parents=True)
    sae = {name: torch.from_numpy(array) for name, array in toy(latents).items()}
    weights = {
        "k": torch.tensor(k, dtype=torch.int),
        "threshold": torch.tensor(-1.0),
        "decoder.weight": sae["W_dec"].T.contiguous(),
        "encoder.weight": sae["W_enc"].T.contiguous(),
        "encoder.bias": sae["b_enc"] + sae["b_dec"] @ sae["W_enc"],
        "b_dec": sae["b_dec"],
    }
    torch.save(weights, folder / "ae.pt")
    facts = {"dict_class": "AutoEncoderTopK", "activation_dim": D_MODEL, "dict_size": latents, "k": k, "layer": 12}
    facts |= {"trainer_class": "TopKTrainer", "lr": 1e-4, "steps": 100, "lm_name": "a", "submodule_name": None}
    (folder / "config.json").write_text(json.dumps({"trainer": facts, "buffer": {"ctx_len": 128, "io": "out"}}))
    return folder


def sae_lens(folder: Path, latents: int = 128, **changed: object) -> Path:
    """A sae-lens 6 folder without sae-lens; TopK with k = 8 unless changed."""
    folder.mkdir(parents=True)
    sae = toy(latents)
    config = {
        "architecture": "topk",
        "k": 8,
        "d_in": D_MODEL,
        "d_sae": latents,
        "dtype": "float32",
        "apply_b_dec_to_input": False,
        "normalize_activations": "none",
        "metadata": {"sae_lens_version": "6.54.12", "hook_name": "blocks.3.hook_mlp_out"},
    } | changed
    (folder / "cfg.json").write_text(json.dumps(config))
    if config["architecture"] != "jumprelu":
        del sae["threshold"]
    save_file(sae, folder / "sae_weights.safetensors")
    return folder
