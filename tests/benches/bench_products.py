"""Float32 products as the stages have them, against those that torch comes with: a pass, and steps of training.

On a CPU that rounds when oneDNN may, or that has no AVX-512, both sides are the same.
"""

from functools import partial
from pathlib import Path

import numpy as np
import torch

from darkmatter.models.activation_files import open_activations
from darkmatter.models.hookpoints import read
from darkmatter.models.load import load_model
from tests.benches.bench_training import HOOKPOINT, TRAINING, kept_rows, make_trainer, step
from tests.benches.interleaved import Check, Peaks, Row, interleave

GROUP, RIVAL = "Float32 products", "the same, with the products of torch"
PAIRS, WIDTHS, GAP = 5, (512, 2048, 8192), 1e-4


@torch.no_grad()
def rows(data: Path, peaks: Peaks) -> list[Row]:
    model = load_model(data / "model")
    tokens = torch.from_numpy(np.load(data / "tokens" / "eval.npy")[:1].astype(np.int64))
    run = partial(read, model, tokens, [HOOKPOINT])
    pairs = interleave(run, run, PAIRS, warm_up=1)
    mine, theirs = (result[HOOKPOINT].double() for result in pairs.results)
    gap = Check("difference, relative to the norm", float((mine - theirs).norm() / theirs.norm()), GAP, False)
    result = [Row(GROUP, f"{HOOKPOINT} of 30 layers", RIVAL, None, pairs, checks=(gap,), note="One context a pass.")]
    path = data / "activations" / "train" / HOOKPOINT
    kept = kept_rows(path, len(open_activations(path)))
    with torch.enable_grad():
        for d_sae in WIDTHS:
            sides = [make_trainer(True, kept, d_sae, 1000 * TRAINING.batch_size) for _ in range(2)]
            pairs = interleave(*(partial(step, side) for side in sides), PAIRS, warm_up=1)
            note = f"A training step of {TRAINING.batch_size:,} rows of {HOOKPOINT}."
            result.append(Row(GROUP, f"TopK, {d_sae:,} latents", RIVAL, None, pairs, note=note))
    return result
