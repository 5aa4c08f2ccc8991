"""A layer's activation as the sum of three parents, with an SAE of each, as the stages write them."""

import numpy as np
import torch
from safetensors.numpy import save_file

from darkmatter.decomposition.shared_moments import prepare
from darkmatter.saes.decoder import load_decoder
from darkmatter.storage.artifacts import write_arrays, write_json

CONTEXTS, POSITIONS, D_MODEL, D_SAE, K = 12, 60, 6, 16, 3
SPLIT = {"fit_share": 150 / 247, "folds": 3, "split_seed": 0}
PARENTS = ("resid_post.0", "attn_out.1", "mlp_out.1")


def write_sae(folder, x, random):
    """Codes and decoder of a random TopK SAE of these activations; returns its reconstructions."""
    W_dec = random.standard_normal((D_SAE, D_MODEL)).astype(np.float32)
    W_dec /= np.linalg.norm(W_dec, axis=1, keepdims=True)
    rows = x.reshape(-1, D_MODEL)
    b_dec = rows.mean(0)
    pre = (rows - b_dec) @ W_dec.T
    index = np.argsort(-pre, axis=1)[:, :K].astype(np.int32)
    value = np.maximum(np.take_along_axis(pre, index, 1), 0).astype(np.float32)
    folder.mkdir()
    write_arrays(folder / "codes.npz", {"index": index, "value": value, "l0": (value > 0).sum(1).astype(np.int32)})
    write_json(folder / "cfg.json", {"d_sae": D_SAE, "d_in": D_MODEL})
    save_file({"W_dec": W_dec, "b_dec": b_dec}, folder / "sae_weights.safetensors")
    return load_decoder(folder).sum_of(torch.from_numpy(index), torch.from_numpy(value)).double().numpy()


def make_case(folder):
    """Three parents, the activation that is their sum, an SAE of each; everything as the stages write it."""
    random = np.random.default_rng(0)
    shape = (CONTEXTS, POSITIONS, D_MODEL)
    parts = {name: (random.standard_normal(shape) @ random.standard_normal((D_MODEL, D_MODEL)) + 3) for name in PARENTS}
    parts = {name: part.astype(np.float32) for name, part in parts.items()}
    x = (parts["resid_post.0"] + parts["attn_out.1"]) + parts["mlp_out.1"]
    outputs = {}
    for name, part in {**parts, "self": x}.items():
        np.save(folder / f"{name}.npy", part)
        outputs[name] = write_sae(folder / name, part, random)
    (folder / "moments").mkdir()
    prepare(folder / "moments", activations=str(folder / "self.npy"), eigen_cutoff=1e-12, **SPLIT)
    return folder, x.reshape(-1, D_MODEL).astype(np.float64), outputs


def files(folder, name):
    return {"codes": str(folder / name / "codes.npz"), "sae": str(folder / name)}
