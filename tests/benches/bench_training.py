"""The sparse TopK training step against those of sae-lens and sparsify, step by step in turn; and FVU at equal budgets.

Against sae-lens both sides have the same data, initial weights, learning rate, batch and auxiliary loss; sae-lens keeps
its own decoder normalisation and optimiser. FVU is measured on rows that neither has seen.
"""

import subprocess
import tempfile
from functools import partial
from pathlib import Path

import numpy as np
import torch
from sae_lens import SAETrainer, TopKTrainingSAE, TopKTrainingSAEConfig
from sae_lens.config import SAETrainerConfig

from darkmatter.models.activation_files import open_activations
from darkmatter.params.saes import Training
from darkmatter.saes.topk import exact_topk
from darkmatter.saes.training.schedule import Schedule
from darkmatter.saes.training.sparse_topk import SparseTopKTrainer, SparseTopKTrainingSAE
from darkmatter.saes.training.training_rows import TrainingRows, open_rows
from darkmatter.storage.artifacts import ArtifactError
from tests.benches.interleaved import Check, Limit, Pairs, Peaks, Row, interleave, shortest
from tests.conformance.conform import python_of

GROUP = "TopK training, a step"
FLOAT32_BYTES = 4
HOOKPOINT, K = "resid_post.14", 32
HELD_OUT_CONTEXTS, PAIRS = 4, 5
GOALS = {2048: None, 4096: 4.0, 8192: 5.0, 16384: 5.0}
LIMIT = (
    "float32 product of the pre-activations; the k largest of each row, timed alone; memory bandwidth of the "
    "pre-activations and of Adam"
)
FVU_WIDTH, FVU_GAP = 4096, 0.005
# The bound was missed at 100,000, which came first, so that budget stays in the table. 60,000 are too few steps for the
# warm-up and the decay.
FVU_BUDGETS = (100_000, 200_000)
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


class Sparsify:
    """Steps of sparsify, in a process of its own environment, which `make conformance` has too."""

    def __init__(self, rows: Path, d_sae: int) -> None:
        command = [python_of("eai-sparsify", "1.3.3"), Path(__file__).with_name("sparsify_steps.py"), rows]
        self.process = subprocess.Popen(
            [*map(str, command), str(d_sae), str(K)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            bufsize=1,
        )
        while self.said() != "ready":  # what it prints when it is imported
            pass

    def said(self) -> str:
        line = self.process.stdout.readline()
        if not line:
            raise ArtifactError(f"sparsify ended with code {self.process.wait()}: what it printed stands above")
        return line.strip()

    def step(self) -> float:
        """FVU of the batch before the step."""
        self.process.stdin.write("\n")
        return float(self.said())

    def __enter__(self) -> "Sparsify":
        return self

    def __exit__(self, *_: object) -> None:
        self.process.stdin.close()
        self.process.wait()


def kept_rows(path: Path, contexts: int) -> TrainingRows:
    """Training rows of the first contexts."""
    return open_rows(path, contexts, TRAINING.outlier_norm_ratio, TRAINING.batch_size)


def rows(data: Path, peaks: Peaks) -> list[Row]:
    path = data / "activations" / "train" / HOOKPOINT
    activations = open_activations(path)
    kept = kept_rows(path, len(activations) - HELD_OUT_CONTEXTS)
    last = range(len(activations) - HELD_OUT_CONTEXTS, len(activations))
    block = np.concatenate([np.array(activations[number]) for number in last])
    held_out = torch.from_numpy((block - kept.mean) * np.float32(1 / kept.scale))
    fvu = {tokens: [fvu_after(sparse, kept, held_out, tokens) for sparse in (True, False)] for tokens in FVU_BUDGETS}
    checks, said = [], ""
    for tokens, (mine, theirs) in fvu.items():
        checks.append(Check(f"FVU less sae-lens's after {tokens:,} tokens", mine - theirs, FVU_GAP, False))
        said += f" FVU on other rows after {tokens:,} tokens: {mine:.4f}, sae-lens {theirs:.4f}; one seed."
    result = []
    with tempfile.TemporaryDirectory() as folder:
        shown = Path(folder) / "rows.npy"
        np.save(shown, np.concatenate([batch for batch, _ in zip(kept.batches(1024, 0), range(8), strict=False)]))
        for d_sae, goal in GOALS.items():
            ours, stock = (make_trainer(sparse, kept, d_sae, 1000 * TRAINING.batch_size) for sparse in (True, False))
            pairs = interleave(partial(step, ours), partial(step, stock), PAIRS, warm_up=1)
            equal = (checks, said) if d_sae == FVU_WIDTH else ([], "")
            result.append(line(d_sae, "sae-lens, TopK", goal, pairs, kept.d_model, peaks, *equal))
            with Sparsify(shown, d_sae) as rival:
                pairs = interleave(partial(step, ours), rival.step, PAIRS, warm_up=1)
            note = " Its own loss and optimiser (signum, schedule-free), without Triton; FVU is not compared."
            result.append(line(d_sae, "EleutherAI sparsify", goal, pairs, kept.d_model, peaks, [], note))
    return result


def seconds_of_choice(d_sae: int) -> float:
    """The k largest pre-activations of each row of a batch."""
    pre = torch.randn(TRAINING.batch_size, d_sae, generator=torch.Generator().manual_seed(0))
    return shortest(lambda: exact_topk(pre, K), PAIRS)


def line(
    d_sae: int, rival: str, goal: float | None, pairs: Pairs, d_model: int, peaks: Peaks, checks: list[Check], said: str
) -> Row:
    # What no step with exact latents and Adam can leave out: every pre-activation, written and read once; the choice of
    # the k largest; both weight matrices and Adam's two moments of each, read and written.
    pre_activations, weights = TRAINING.batch_size * d_sae, 2 * d_sae * d_model
    least = 2 * pre_activations * d_model / peaks.float32 + seconds_of_choice(d_sae)
    least += FLOAT32_BYTES * (2 * pre_activations + 6 * weights) / peaks.bandwidth
    return Row(
        GROUP,
        f"{d_sae:,} latents",
        rival,
        goal,
        pairs,
        checks=checks,
        limit=Limit(LIMIT, least / min(pairs.ours)),
        note=f"A step of {TRAINING.batch_size:,} rows of {HOOKPOINT}, k = {K}.{said}",
    )
