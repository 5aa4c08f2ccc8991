"""A tiny model with a random SAE, and one context spliced."""

import numpy as np
import torch
from safetensors.numpy import save_file

from darkmatter.decomposition.shared_moments import prepare
from darkmatter.experiments.downstream import compute
from darkmatter.models.load import load_model, random_model, save_model
from darkmatter.models.splice import residual_at
from darkmatter.params.data import Model
from darkmatter.storage.artifacts import read_arrays, write_arrays, write_json

CONTEXTS, LENGTH, FIRST, D_MODEL, D_SAE, K = 8, 40, 6, 12, 24, 3
POINT = "resid_post.1"
SPLIT = {"fit_share": 150 / 247, "folds": 3, "split_seed": 0}
SIZES = {
    "vocab_size": 258, "hidden_size": D_MODEL, "intermediate_size": 24, "num_hidden_layers": 4,
    "num_attention_heads": 2, "num_key_value_heads": 1, "max_position_embeddings": 64,
}  # fmt: skip
EXTRA = {"llama": {}, "gemma2": {"head_dim": 6, "sliding_window": 8}}


def make_case(folder, architecture="llama"):
    """A tiny model with its tokens and activations, and a random SAE with its codes, as the stages write them."""
    spec = Model(source="random", label="tiny", architecture=architecture, config=SIZES | EXTRA[architecture], seed=0)
    (folder / "model").mkdir()
    save_model(folder / "model", *random_model(spec), {"label": "tiny", "source": "random", "package": None})
    random = np.random.default_rng(0)
    tokens = random.integers(256, size=(CONTEXTS, LENGTH)).astype(np.int32)
    np.save(folder / "tokens.npy", tokens)
    x = residual_at(load_model(folder / "model"), torch.from_numpy(tokens).long(), POINT)[:, FIRST:-1].numpy()
    np.save(folder / "x.npy", x)
    flat = x.reshape(-1, D_MODEL)
    decoder = random.standard_normal((D_SAE, D_MODEL)).astype(np.float32)
    decoder /= np.linalg.norm(decoder, axis=1, keepdims=True)
    b_dec = flat.mean(0)
    pre = (flat - b_dec) @ decoder.T
    index = np.argsort(-pre, axis=1)[:, :K].astype(np.int32)
    value = np.maximum(np.take_along_axis(pre, index, 1), 0).astype(np.float32)
    value[::7] = 0  # tokens on which no latent fires
    write_arrays(folder / "codes.npz", {"index": index, "value": value, "l0": (value > 0).sum(1).astype(np.int32)})
    (folder / "sae").mkdir()
    write_json(folder / "sae" / "cfg.json", {"d_sae": D_SAE, "d_in": D_MODEL})
    save_file({"W_dec": decoder, "b_dec": b_dec}, folder / "sae" / "sae_weights.safetensors")
    for name in ("moments", "map", "out"):
        (folder / name).mkdir()
    prepare(folder / "moments", activations=str(folder / "x.npy"), eigen_cutoff=1e-12, **SPLIT)
    return folder


def files(folder):
    return {"codes": str(folder / "codes.npz"), "sae": str(folder / "sae")}


def shared(folder):
    return {"activations": str(folder / "x.npy"), "prepared": str(folder / "moments"), **SPLIT}


def splice(folder, context, controls=("linear",), **changed):
    compute.open_once.cache_clear()
    arguments = {"model": str(folder / "model"), "tokens": str(folder / "tokens.npy"), "hookpoint": POINT}
    arguments |= {"first_position": FIRST, "seed": 0, "controls": list(controls), "context": context, **shared(folder)}
    arguments["saes"] = [{"name": "one", **files(folder), "map": str(folder / "map" / "map.npz")}]
    compute.splice_context(folder / "out", **(arguments | changed))
    return read_arrays(folder / "out" / "sums.npz")
