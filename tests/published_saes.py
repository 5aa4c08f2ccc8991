"""Tiny SAEs in the formats and under the names of published ones: true widths, few dimensions, most latents dead."""

import json
import math
from pathlib import Path

import numpy as np
import torch
from safetensors.numpy import save_file
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
    return folder


def llama_scope(root: Path, latents: int = 32768, factor: float = LLAMA_FACTOR) -> Path:
    """Weights for activations times `factor`; the threshold for pre-activations divided by it, as published."""
    folder = root / LLAMA[0] / LLAMA[1]
    (folder / "checkpoints").mkdir(parents=True)
    sae = toy(latents)
    facts = {
        "d_model": D_MODEL,
        "d_sae": latents,
        "act_fn": "jumprelu",
        "jump_relu_threshold": 1 / factor,
        "hook_point_in": "blocks.15.hook_resid_post",
        "dataset_average_activation_norm": {"in": math.sqrt(D_MODEL) / factor},
    }
    (folder / "hyperparams.json").write_text(json.dumps(facts))
    weights = {
        "encoder.weight": sae["W_enc"].T / factor,
        "encoder.bias": sae["b_enc"],
        "decoder.weight": sae["W_dec"].T * factor,
        "decoder.bias": sae["b_dec"] * factor,
    }
    tensors = {name: torch.from_numpy(np.ascontiguousarray(array)).bfloat16() for name, array in weights.items()}
    save_torch(tensors, folder / "checkpoints" / "final.safetensors")
    return folder


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
