"""SAEs of EleutherAI's sparsify: TopK."""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from darkmatter.saes.published.options import TRANSCODER, Option, alike, check_options
from darkmatter.saes.published.tensors import Tensors
from darkmatter.saes.published.weights import Read, Weights, check_shapes
from darkmatter.storage.artifacts import ArtifactError
from darkmatter.storage.text_files import json_of

RUN = "../config.json"  # ends the name of the run's file, a folder above its SAEs: an old one alone says `transcode`
PARTS = {None: "resid_post", "mlp": "mlp_out", "attn": "attn_out", "self_attn": "attn_out", "attention": "attn_out"}

OPTIONS = (
    *alike("read", "sizes of the weights", "d_in num_latents expansion_factor"),
    Option("k", "read", "latents per row"),
    Option("activation", "refused", "only TopK is read", ("topk",)),
    Option("transcode", "refused", TRANSCODER),
    Option("skip_connection", "refused", "a linear map of x is added to the sum of latents"),
    Option("embed_skip", "refused", "a map of the embedding is added to the sum of latents"),
    Option("gram_lookup", "refused", "what the tokens before predict leaves the input"),
    Option("signed", "refused", "the k largest in size fire, negative ones too"),
    Option("normalize_decoder", "no effect", "of training: W_dec is used as it is in the file"),
    Option("multi_topk", "no effect", "a term of the loss with 4 k latents; Sae(x) has k"),
    *alike("no effect", "used with `gram_lookup` only", "lookup_max_order gram_table_hash"),
    Option("naive_decoder", "no effect", "another kernel for the same product"),
)


def read_sparsify(paths: Mapping[str, Path], factor: float | None = None) -> Read:
    """sparsify: cfg.json and sae.safetensors; W_dec [latent, d_model] as it is, and b_dec always leaves the input.

    sae-lens's converter transposes W_dec, and keeps b_dec in the input when the decoder is normalised.
    """
    facts = json_of(paths["cfg.json"])
    where = str(paths["cfg.json"])
    check_options(facts, OPTIONS, where)
    above = next((path for name, path in paths.items() if name.endswith(RUN)), None)
    run = described(above) if above else {}
    result = Tensors.of_safetensors(paths["sae.safetensors"])
    weights = Weights(
        "topk",
        result.matrix("encoder.weight", latents_first=True),
        result.matrix("W_dec", latents_first=True),
        result.vector("encoder.bias"),
        result.vector("b_dec"),
        k=facts["k"],
        subtract_b_dec=True,
    )
    result.refuse_others({"encoder.weight", "W_dec", "encoder.bias", "b_dec"})
    d_sae = facts.get("num_latents") or facts["d_in"] * facts["expansion_factor"]
    check_shapes(weights, where, d_sae, facts["d_in"])
    return weights, hookpoint(paths["cfg.json"].parent, str(run.get("model", "")))


def described(path: Path) -> dict[str, Any]:
    """What the run's config.json says, once that is no run of transcoders; any other file of that name says nothing."""
    run = json_of(path)
    if not isinstance(run, dict):
        return {}
    own = run.get("sae")
    if run.get("transcode") or (isinstance(own, dict) and own.get("transcode")):
        raise ArtifactError(f"{path}: `transcode` is set: {TRANSCODER}.")
    return run


def hookpoint(folder: Path, model: str) -> str | None:
    """A folder is named after the module whose output it reads: `layers.3` → resid_post.3, `layers.5.mlp` → mlp_out.5.

    Gemma from 2 on normalises that of attention and MLP once more before it is `attn_out` and `mlp_out`.

    Args:
        model: that of the run, where known.
    """
    name = folder.parent.name if re.fullmatch(r"seed\d+", folder.name) else folder.name
    match = re.search(r"(?:^|[._])(?:layers|h)[._](\d+)(?:\.(mlp|attn|self_attn|attention))?$", name)
    if not match or (match[2] and "gemma" in f"{folder.absolute()} {model}".lower()):
        return None
    return f"{PARTS[match[2]]}.{match[1]}"
