"""sae-lens's TopK training step against the sparse one, interleaved in one run; and FVU at an equal budget.

    python -m tests.benches.bench_training [--activations FILE.npy] [--json OUT.json]

Not collected by pytest. Both sides have one thread, the same data, initial weights, learning rate, batch and
auxiliary loss; sae-lens keeps its own decoder normalisation and optimiser. Times are medians of steps taken in
turn, so that whatever else the machine does falls on both. FVU is measured on rows that neither has seen.
"""

import argparse
import json
import time
from pathlib import Path
from statistics import median

import numpy as np
import torch
from sae_lens import SAETrainer, TopKTrainingSAE, TopKTrainingSAEConfig
from sae_lens.config import SAETrainerConfig

from darkmatter.params.saes import Training
from darkmatter.runner.processes import single_thread
from darkmatter.saes.training.schedule import Schedule
from darkmatter.saes.training.sparse_topk import SparseTopKTrainer, SparseTopKTrainingSAE
from darkmatter.saes.training.training_rows import TrainingRows, open_rows

ACTIVATIONS = Path("data/activations/train/resid_post.14")
SYNTHETIC = Path("data/.bench/synthetic.npy")
D_MODEL, K = 576, 32
HELD_OUT_CONTEXTS = 8
TRAINING = Training(
    batch_size=1024,
    learning_rate=0.003,
    learning_rate_d_sae=4096,
    learning_rate_max=0.004,
    warm_up_steps=50,
    decay_share=0.3,
    dead_after_tokens=100_000,
    auxiliary_coefficient=1 / 32,
    outlier_norm_ratio=5.0,
    curve_points=10,
)
STOCK, STOCK_SPARSE, OURS = "sae-lens", "sae-lens, sparse mode", "ours"


def make_trainer(side: str, rows: TrainingRows, d_sae: int, schedule: Schedule) -> SAETrainer:
    config = SAETrainerConfig(
        total_training_samples=schedule.tokens,
        train_batch_size_samples=schedule.batch_size,
        lr=schedule.learning_rate,
        lr_end=schedule.learning_rate,
        lr_warm_up_steps=schedule.warm_up_steps,
        lr_decay_steps=schedule.decay_steps,
        dead_feature_window=TRAINING.dead_after_tokens // schedule.batch_size,
    )
    options = {
        STOCK: {},
        STOCK_SPARSE: {"use_sparse_activations": True, "rescale_acts_by_decoder_norm": False},
        OURS: {"rescale_acts_by_decoder_norm": False},
    }
    torch.manual_seed(0)
    cls = SparseTopKTrainingSAE if side == OURS else TopKTrainingSAE
    sae = cls(
        TopKTrainingSAEConfig(
            d_in=rows.d_model,
            d_sae=d_sae,
            k=K,
            decoder_init_norm=1.0,
            aux_loss_coefficient=TRAINING.auxiliary_coefficient,
            **options[side],
        )
    )
    batches = (torch.from_numpy(batch) for batch in rows.batches(schedule.batch_size, 0))
    return (SparseTopKTrainer if side == OURS else SAETrainer)(config, sae, batches)


def step(trainer: SAETrainer) -> None:
    trainer.step(next(trainer.data_provider))
    trainer.n_training_steps += 1


def time_steps(rows: TrainingRows, d_sae: int, batch_size: int, repeats: int) -> dict[str, float]:
    """Tokens per second of each side; steps are taken in turn, the first of each is not counted."""
    settings = TRAINING.model_copy(update={"batch_size": batch_size})
    schedule = Schedule.of(settings, d_sae, 1000 * batch_size)
    trainers = {side: make_trainer(side, rows, d_sae, schedule) for side in (STOCK, STOCK_SPARSE, OURS)}
    seconds = {side: [] for side in trainers}
    for _ in range(repeats + 1):
        for side, trainer in trainers.items():
            start = time.perf_counter()
            step(trainer)
            seconds[side].append(time.perf_counter() - start)
    return {side: batch_size / median(times[1:]) for side, times in seconds.items()}


def fvu_after(side: str, rows: TrainingRows, held_out: torch.Tensor, d_sae: int, tokens: int) -> float:
    schedule = Schedule.of(TRAINING, d_sae, tokens)
    trainer = make_trainer(side, rows, d_sae, schedule)
    for _ in range(schedule.steps):
        step(trainer)
    with torch.no_grad():
        error = sum((part - trainer.sae(part)).square().sum().item() for part in held_out.split(1024))
    return error / (held_out - held_out.mean(0)).square().sum().item()


def make_synthetic(path: Path) -> Path:
    """Sparse sums of 8,192 directions with heavy-tailed strengths, where no activations are at hand."""
    rng = np.random.default_rng(0)
    features = rng.normal(size=(8192, D_MODEL)).astype(np.float32)
    features /= np.linalg.norm(features, axis=1, keepdims=True)
    array = np.empty((80, 823, D_MODEL), np.float32)
    for context in array:
        codes = rng.exponential(size=(823, 8192)) * (rng.random((823, 8192)) < 30 / np.arange(20, 8212))
        context[:] = codes.astype(np.float32) @ features + rng.normal(size=(823, D_MODEL)) * 0.02
    path.parent.mkdir(parents=True, exist_ok=True)
    np.save(path, array)
    return path


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--activations", type=Path, default=ACTIVATIONS)
    parser.add_argument("--d-sae", type=int, nargs="+", default=[4096, 8192, 16384])
    parser.add_argument("--batch-size", type=int, nargs="+", default=[1024, 2048])
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--fvu-tokens", type=int, default=200_000, help="budget of the FVU comparison; 0: none")
    parser.add_argument("--json", type=Path)
    given = parser.parse_args()
    single_thread()
    path = given.activations if given.activations.exists() else make_synthetic(SYNTHETIC)
    contexts = np.load(path, mmap_mode="r").shape[0]
    rows = open_rows(path, contexts - HELD_OUT_CONTEXTS, TRAINING.outlier_norm_ratio, TRAINING.batch_size)
    result = {"activations": path.as_posix(), "threads": 1, "k": K, "steps": [], "fvu": None}
    print(f"{path}, {len(rows.kept)} rows, one thread, tokens/s")
    for batch_size in given.batch_size:
        for d_sae in given.d_sae:
            rates = time_steps(rows, d_sae, batch_size, given.repeats)
            ratio = rates[OURS] / rates[STOCK]
            result["steps"].append(
                {"batch_size": batch_size, "d_sae": d_sae, "tokens_per_second": rates, "ratio": ratio}
            )
            listing = ", ".join(f"{side} {rate:,.0f}" for side, rate in rates.items())
            print(f"batch {batch_size}, d_sae {d_sae}: {listing}; {ratio:.1f}x sae-lens", flush=True)
    if given.fvu_tokens:
        block = np.load(path, mmap_mode="r")[-HELD_OUT_CONTEXTS:].reshape(-1, rows.d_model)
        held_out = torch.from_numpy((block - rows.mean) * np.float32(1 / rows.scale))
        fvu = {side: fvu_after(side, rows, held_out, 4096, given.fvu_tokens) for side in (STOCK, OURS)}
        result["fvu"] = fvu | {"d_sae": 4096, "tokens": given.fvu_tokens, "difference": fvu[OURS] - fvu[STOCK]}
        print(f"FVU at 4096 latents after {given.fvu_tokens:,} tokens: {fvu}, difference {fvu[OURS] - fvu[STOCK]:+.4f}")
    if given.json:
        given.json.write_text(json.dumps(result, indent=2, sort_keys=True) + "\n")


if __name__ == "__main__":
    main()
