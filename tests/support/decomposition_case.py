"""Activations, codes and a random TopK SAE, as the stages write them."""

import numpy as np
import torch
from safetensors.numpy import save_file

from darkmatter.saes.decoder import load_decoder
from darkmatter.storage.artifacts import write_arrays, write_json

CONTEXTS, POSITIONS, D_MODEL, D_SAE, K = 12, 60, 10, 32, 4
SPLIT = {"fit_share": 150 / 247, "folds": 3, "split_seed": 0}
BOOTSTRAP = {"resamples": 100, "level": 0.95, "seed": 0}


def make_case(folder, change=lambda x: x, contexts=CONTEXTS):
    """Activations with awkward means, codes of a random TopK SAE, and everything written as the stages write it."""
    random = np.random.default_rng(0)
    x = random.standard_normal((contexts, POSITIONS, D_MODEL)) @ random.standard_normal((D_MODEL, D_MODEL))
    x += random.standard_normal((contexts, 1, D_MODEL)) + random.standard_normal(D_MODEL) * 5
    x = change(x.astype(np.float32))
    decoder = random.standard_normal((D_SAE, D_MODEL)).astype(np.float32)
    decoder /= np.linalg.norm(decoder, axis=1, keepdims=True)
    b_dec = x.reshape(-1, D_MODEL).mean(0)
    pre = (x.reshape(-1, D_MODEL) - b_dec) @ decoder.T
    index = np.argsort(-pre, axis=1)[:, :K].astype(np.int32)
    value = np.maximum(np.take_along_axis(pre, index, 1), 0).astype(np.float32)
    np.save(folder / "x.npy", x)
    write_arrays(folder / "codes.npz", {"index": index, "value": value, "l0": (value > 0).sum(1).astype(np.int32)})
    (folder / "sae").mkdir()
    write_json(folder / "sae" / "cfg.json", {"d_sae": D_SAE, "d_in": D_MODEL})
    save_file({"W_dec": decoder, "b_dec": b_dec}, folder / "sae" / "sae_weights.safetensors")
    sae = load_decoder(folder / "sae").sum_of(*map(torch.from_numpy, (index, value)))
    return x.reshape(-1, D_MODEL).astype(np.float64), sae.double().numpy()
