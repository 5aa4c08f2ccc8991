"""Activations of a middle layer: a forward pass that stops there, against the ways other libraries offer.

The model is SmolLM2 as the stage `model` leaves it, float32, on contexts of the stage `tokens`.
"""

from pathlib import Path

import numpy as np
import torch
from transformer_lens.model_bridge import TransformerBridge

from darkmatter.models.hookpoints import layer_of, read
from darkmatter.models.load import load_model
from tests.benches.interleaved import Check, Limit, Peaks, Row, interleave

GROUP = "Extraction to a middle layer"
HOOKPOINT, CONTEXTS, PAIRS, GOAL = "resid_post.14", 1, 3, 1.5
TOLERANCE = 1e-5  # relative to the largest activation


@torch.no_grad()
def rows(data: Path, peaks: Peaks) -> list[Row]:
    model, layer = load_model(data / "model"), layer_of(HOOKPOINT)
    tokens = torch.from_numpy(np.load(data / "tokens" / "eval.npy")[:CONTEXTS].astype(np.int64))
    bridge = TransformerBridge.boot_transformers(str(data / "model"), hf_model=load_model(data / "model"))
    name = f"blocks.{layer}.hook_resid_post"
    rivals = {
        "transformers, `output_hidden_states`": lambda: model(
            input_ids=tokens, output_hidden_states=True, use_cache=False
        ).hidden_states[layer + 1],
        "TransformerLens, `run_with_cache`": lambda: bridge.run_with_cache(tokens, names_filter=name)[1][name],
        "TransformerLens, `run_with_cache` told to stop there": lambda: bridge.run_with_cache(
            tokens, names_filter=name, stop_at_layer=layer + 1
        )[1][name],
    }
    blocks = sum(weight.numel() for block in model.model.layers[: layer + 1] for weight in block.parameters())
    result = []
    for rival, run in rivals.items():
        pairs = interleave(lambda: read(model, tokens, [HOOKPOINT])[HOOKPOINT], run, PAIRS, warm_up=1)
        mine, theirs = pairs.results
        gap = float((mine - theirs).abs().max() / theirs.abs().max())
        limit = Limit(
            "float32 products with the weights", 2 * blocks * tokens.numel() / peaks.float32 / min(pairs.ours)
        )
        result.append(
            Row(
                GROUP,
                f"{HOOKPOINT} of 30 layers",
                rival,
                GOAL,
                pairs,
                checks=(Check("largest difference, relative", gap, TOLERANCE, False),),
                limit=limit,
                note=f"{CONTEXTS} context of {tokens.shape[1]:,} tokens a pass.",
            )
        )
    return result
