"""What the names of published SAEs say: hookpoint, width and L0, in this repository's words.

Attention SAEs of Gemma Scope read z, the heads side by side before the output projection: `attn_z.L`, whatever their
folder is called.
"""

import re
from dataclasses import dataclass
from pathlib import Path

from darkmatter.params.types import HOOKPOINT

POWERS = {"4k": 12, "16k": 14, "32k": 15, "65k": 16, "131k": 17, "262k": 18, "524k": 19, "1m": 20}
TRANSFORMER_LENS = {
    "hook_resid_post": "resid_post",
    "hook_mlp_out": "mlp_out",
    "hook_attn_out": "attn_out",
    "attn.hook_z": "attn_z",
}
GEMMA_SCOPE = {"res": "resid_post", "mlp": "mlp_out", "att": "attn_z"}
GEMMA_SCOPE_2 = {"resid_post": "resid_post", "mlp_out": "mlp_out", "attn_out": "attn_z"}
LLAMA_SCOPE = {"R": "resid_post", "A": "attn_out", "M": "mlp_out"}
HUGGING_FACE = {
    "": "resid_post",  # the module itself: its output
    "output": "resid_post",
    "post_feedforward_layernorm.output": "mlp_out",
    "self_attn.o_proj.input": "attn_z",
}
LEVELS = 4  # Gemma Scope: repository/layer/width/L0
OTHERS = re.compile(r"(?<![a-z])(transcoder|clt|crosscoder)s?(?![a-z])")


@dataclass(frozen=True)
class Named:
    """Facts in the name of a repository and a folder; None: the name does not say."""

    hookpoint: str | None = None
    width: int | None = None
    nominal_l0: float | None = None


def named(repo: str, folder: str) -> Named:
    """What `google/gemma-scope-2b-pt-res` and `layer_12/width_16k/average_l0_82` say, and their like."""
    if match := re.fullmatch(r"google/gemma-scope-\d+b-\w+-(res|mlp|att)", repo):
        layer = re.search(r"layer_(\d+)/", folder)
        hookpoint = f"{GEMMA_SCOPE[match[1]]}.{layer[1]}" if layer else None
        l0 = re.search(r"average_l0_(\d+)$", folder)
        return Named(hookpoint, width_in(folder), float(l0[1]) if l0 else None)
    if repo.startswith("google/gemma-scope-2-"):
        place = re.match(r"(resid_post|mlp_out|attn_out)(?:_all)?/layer_(\d+)_", folder)
        return Named(f"{GEMMA_SCOPE_2[place[1]]}.{place[2]}" if place else None, width_in(folder))
    if match := re.fullmatch(r"Llama3_1-8B-Base-L(\d+)([RAM])-(\d+)x", folder):
        return Named(f"{LLAMA_SCOPE[match[2]]}.{match[1]}", int(match[3]) * 4096)
    return Named()


def width_in(folder: str) -> int | None:
    match = re.search(r"width_(\w+?)(?:/|_|$)", folder)
    return 1 << POWERS[match[1]] if match and match[1] in POWERS else None


def our_hookpoint(name: str | None) -> str | None:
    """`blocks.12.hook_resid_post` (TransformerLens) → `resid_post.12`, as are `model.layers.12.output` (Gemma Scope 2)
    and `model.layers.12` (sae-lens on models of transformers).

    A name of ours stays; others are None.
    """
    if name is None or re.fullmatch(HOOKPOINT, name):
        return name
    for prefix, kinds in (("blocks", TRANSFORMER_LENS), ("model\\.layers", HUGGING_FACE)):
        match = re.fullmatch(rf"{prefix}\.(\d+)(?:\.(.+))?", name)
        if match and (match[2] or "") in kinds:
            return f"{kinds[match[2] or '']}.{match[1]}"
    return None


def names_transcoder(name: str) -> bool:
    """Whether a repository or folder is called a transcoder, cross-layer transcoder (clt) or crosscoder."""
    return OTHERS.search(name.lower()) is not None


def local_transcoder(folder: Path) -> str | None:
    """The part of a local path that names a transcoder as published ones do; None: no part does.

    A folder of one's own may have the word in its name for any reason, so this is stricter than for a repository: the
    repository itself in the hub's cache or copied under its own name, or a folder `transcoder`, `transcoder_all`,
    `clt`, `crosscoder`.
    """
    parts = folder.absolute().parts
    for place, part in enumerate(parts):
        cached = part.startswith("models--")
        near = place >= len(parts) - LEVELS
        published = near and re.fullmatch(r"(transcoders?|clt|crosscoder)(_all)?|gemma-scope-.*", part)
        if (cached or published) and names_transcoder(part):
            return part
    return None
