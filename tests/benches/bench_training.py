"""The sparse TopK training step against that of sae-lens, step by step in turn; and FVU at equal budgets.

Both sides have the same data, initial weights, learning rate, batch and auxiliary loss; sae-lens keeps its own decoder
normalisation and optimiser. FVU is measured on rows that neither has seen.
"""

from pathlib import Path

import numpy as np
import torch
from sae_lens import SAETrainer, TopKTrainingSAE, TopKTrainingSAEConfig
from sae_lens.config import SAETrainerConfig

from darkmatter.models.activation_files import open_activations
from darkmatter.params.saes import Training
from darkmatter.saes.training.schedule import Schedule
from darkmatter.saes.training.sparse_topk import SparseTopKTrainer, SparseTopKTrainingSAE
from darkmatter.saes.training.training_rows import TrainingRows, open_rows
from tests.benches.interleaved import Check, Limit, Peaks, Row, interleave

GROUP = "TopK training, a step"
HOOKPOINT, K = "resid_post.14", 32
HELD_OUT_CONTEXTS, PAIRS = 4, 5
GOALS = {2048: None, 4096: 4.0, 8192: 5.0, 16384: 5.0}
FVU_WIDTH, FVU_GAP = 4096, 0.005
# The first two were tried first and the bound was missed at 100,000; every budget that was tried is in the table.
FVU_BUDGETS = (60_000, 100_000, 200_000)
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


def make_trainer(sparse: bool, rows: TrainingRows, d_sae: int, tokens: int) -> SAETrainer:
    schedule = Schedule.of(TRAINING, d_sae, tokens)
    config = SAETrainerConfig(
        total_training_samples=schedule.tokens,
        train_batch_size_samples=schedule.batch_size,
        lr=schedule.learning_rate,
        lr_end=schedule.learning_rate,
        lr_warm_up_steps=schedule.warm_up_steps,
        lr_decay_steps=schedule.decay_steps,
        dead_feature_window=TRAINING.dead_after_tokens // schedule.batch_size,
    )
    torch.manual_seed(0)
    sae = (SparseTopKTrainingSAE if sparse else TopKTrainingSAE)(
        TopKTrainingSAEConfig(
            d_in=rows.d_model,
            d_sae=d_sae,
            k=K,
            decoder_init_norm=1.0,
            aux_loss_coefficient=TRAINING.auxiliary_coefficient,
            **({"rescale_acts_by_decoder_norm": False} if sparse else {}),
        )
    )
    batches = (torch.from_numpy(batch) for batch in rows.batches(schedule.batch_size, 0))
    return (SparseTopKTrainer if sparse else SAETrainer)(config, sae, batches)


def step(trainer: SAETrainer) -> None:
    trainer.step(next(trainer.data_provider))
    trainer.n_training_steps += 1


def fvu_after(sparse: bool, rows: TrainingRows, held_out: torch.Tensor, tokens: int) -> float:
    trainer = make_trainer(sparse, rows, FVU_WIDTH, tokens)
    for _ in range(tokens // TRAINING.batch_size):
        step(trainer)
    with torch.no_grad():
        error = sum((part - trainer.sae(part)).square().sum().item() for part in held_out.split(1024))
    return error / (held_out - held_out.mean(0)).square().sum().item()


def rows(data: Path, peaks: Peaks) -> list[Row]:
    path = data / "activations" / "train" / HOOKPOINT
    activations = open_activations(path)
    kept = open_rows(path, len(activations) - HELD_OUT_CONTEXTS, TRAINING.outlier_norm_ratio, TRAINING.batch_size)
    last = range(len(activations) - HELD_OUT_CONTEXTS, len(activations))
    block = np.concatenate([np.array(activations[number]) for number in last])
    held_out = torch.from_numpy((block - kept.mean) * np.float32(1 / kept.scale))
    fvu = {tokens: [fvu_after(sparse, kept, held_out, tokens) for sparse in (True, False)] for tokens in FVU_BUDGETS}
    result = []
    for d_sae, goal in GOALS.items():
        ours, stock = (make_trainer(sparse, kept, d_sae, 1000 * TRAINING.batch_size) for sparse in (True, False))
        pairs = interleave(lambda t=ours: step(t), lambda t=stock: step(t), PAIRS, warm_up=1)
        checks, note = [], f"A step of {TRAINING.batch_size:,} rows of {HOOKPOINT}, k = {K}."
        if d_sae == FVU_WIDTH:
            for tokens, (mine, theirs) in fvu.items():
                checks.append(Check(f"FVU less sae-lens's after {tokens:,} tokens", mine - theirs, FVU_GAP, False))
                note += f" FVU on other rows after {tokens:,} tokens: {mine:.4f}, sae-lens {theirs:.4f}; one seed."
        # what no exact step can leave out: every pre-activation
        least = 2 * TRAINING.batch_size * d_sae * kept.d_model / peaks.float32
        result.append(
            Row(
                GROUP,
                f"{d_sae:,} latents",
                "sae-lens, TopK",
                goal,
                pairs,
                checks=checks,
                limit=Limit("float32 product of the pre-activations alone", least / min(pairs.ours)),
                note=note,
            )
        )
    return result
