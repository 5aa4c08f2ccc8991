"""SAEs of EleutherAI's sparsify: TopK."""

import re
from collections.abc import Mapping
from pathlib import Path

from darkmatter.artifacts import ArtifactError, read_json
from darkmatter.pretrained.tensors import Tensors
from darkmatter.pretrained.weights import Read, Weights, check_shapes


def read_sparsify(paths: Mapping[str, Path], factor: float | None = None) -> Read:
    """sparsify: cfg.json and sae.safetensors; W_dec [latent, d_model] as it is, and b_dec always leaves the input.

    sae-lens's converter transposes W_dec, and keeps b_dec in the input when the decoder is normalised.
    """
    facts = read_json(paths["cfg.json"])
    where = str(paths["cfg.json"])
    for option in ("transcode", "skip_connection", "embed_skip", "gram_lookup", "signed"):
        if facts.get(option):
            raise ArtifactError(f"{where}: `{option}` is set: Sae(x) is not a sum of latents of x chosen by TopK alone")
    if facts.get("activation", "topk") != "topk":
        raise ArtifactError(f"{where}: activation {facts['activation']!r} is not TopK")
    found = Tensors.of_safetensors(paths["sae.safetensors"])
    weights = Weights(
        "topk",
        found.matrix("encoder.weight", latents_first=True),
        found.matrix("W_dec", latents_first=True),
        found.vector("encoder.bias"),
        found.vector("b_dec"),
        k=facts["k"],
        subtract_b_dec=True,
    )
    found.refuse_others({"encoder.weight", "W_dec", "encoder.bias", "b_dec"})
    d_sae = facts.get("num_latents") or facts["d_in"] * facts["expansion_factor"]
    check_shapes(weights, where, d_sae, facts["d_in"])
    folder = paths["cfg.json"].parent.name
    layer = re.search(r"layers[._](\d+)$", folder)
    return weights, f"resid_post.{layer[1]}" if layer else None
