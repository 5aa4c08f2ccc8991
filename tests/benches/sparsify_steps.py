"""Training steps of EleutherAI's sparsify on a CPU, in its own environment: one step for each line on stdin.

Its own encoder, decoder, loss and default optimiser, in the order of its trainer's loop, with 1,024 rows a step. Prints
a line once ready and after each step: FVU of the batch.

    python sparsify_steps.py ROWS.npy D_SAE K      # started by bench_training
"""

import os
import sys

os.environ["OMP_NUM_THREADS"] = os.environ["MKL_NUM_THREADS"] = "1"

import numpy as np
import torch
from schedulefree import ScheduleFreeWrapper
from sparsify import SparseCoder, SparseCoderConfig
from sparsify.sign_sgd import SignSGD

BATCH = 1024


def main(path: str, d_sae: int, k: int) -> None:
    torch.set_num_threads(1)
    torch.manual_seed(0)
    rows = torch.from_numpy(np.load(path))
    coder = SparseCoder(rows.shape[1], SparseCoderConfig(num_latents=d_sae, k=k))
    learning_rate = 5e-3 / (d_sae / 2**14) ** 0.5  # as its trainer has it
    optimiser = ScheduleFreeWrapper(SignSGD([{"params": coder.parameters(), "lr": learning_rate}]), momentum=0.95)
    optimiser.train()
    coder.b_dec.data = rows[:BATCH].mean(0)
    print("ready", flush=True)
    for number, _ in enumerate(sys.stdin):
        start = number * BATCH % (len(rows) - BATCH)
        coder.set_decoder_norm_to_unit_norm()
        fvu = coder(rows[start : start + BATCH]).fvu
        fvu.backward()
        coder.remove_gradient_parallel_to_decoder_directions()
        optimiser.step()
        optimiser.zero_grad()
        print(fvu.item(), flush=True)


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]))
