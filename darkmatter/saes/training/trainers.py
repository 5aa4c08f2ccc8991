"""The sae-lens trainer of each architecture we train. Imports sae-lens (seconds): see `train.train_sae`."""

import math
from statistics import NormalDist

import torch
from sae_lens import (
    JumpReLUTrainingSAE,
    JumpReLUTrainingSAEConfig,
    SAETrainer,
    TopKTrainingSAE,
    TopKTrainingSAEConfig,
)
from sae_lens.config import SAETrainerConfig

from darkmatter.params.saes import Training
from darkmatter.params.types import ParamsError
from darkmatter.saes.training.schedule import Schedule
from darkmatter.saes.training.sparse_topk import SparseTopKTrainer, SparseTopKTrainingSAE
from darkmatter.saes.training.training_rows import TrainingRows

START_L0 = 4  # × k: a latent that has never fired learns nothing, so training starts above the target


def initial_threshold(k: int, d_sae: int) -> float:
    """Where START_L0 · k latents fire on the first batch: pre-activations of unit latents on z are close to N(0, 1).

    Adam moves a threshold by no more than the learning rate per step, so a run of some hundred steps needs a
    start in the right region; sae-lens's 0.01 would keep half of all latents on.
    """
    return NormalDist().inv_cdf(1 - min(START_L0 * k / d_sae, 0.4))


def make_trainer(
    architecture: str,
    rows: TrainingRows,
    schedule: Schedule,
    training: Training,
    d_sae: int,
    k: int,
    seed: int,
    device: str = "cpu",
) -> SAETrainer:
    """A trainer over shuffled standardised rows, its SAE initialised from `seed`.

    TopK trains by sparse sums on the CPU, which has memory to wait for; elsewhere by sae-lens's own dense products.
    """
    config = SAETrainerConfig(
        total_training_samples=schedule.tokens,
        train_batch_size_samples=schedule.batch_size,
        lr=schedule.learning_rate,
        lr_end=schedule.learning_rate,  # sae-lens requires it; the decay to zero starts here
        lr_warm_up_steps=schedule.warm_up_steps,
        lr_decay_steps=schedule.decay_steps,
        dead_feature_window=math.ceil(training.dead_after_tokens / schedule.batch_size),
        device=device,
    )
    batches = (torch.from_numpy(batch).to(device) for batch in rows.batches(schedule.batch_size, seed))
    torch.manual_seed(seed)
    match architecture:
        case "topk":
            topk = TopKTrainingSAEConfig(
                d_in=rows.d_model,
                d_sae=d_sae,
                k=k,
                aux_loss_coefficient=training.auxiliary_coefficient,
                decoder_init_norm=1.0,
                rescale_acts_by_decoder_norm=False,
                device=device,
            )
            if device == "cpu":
                return SparseTopKTrainer(config, SparseTopKTrainingSAE(topk), batches)
            return SAETrainer(config, TopKTrainingSAE(topk), batches)
        case "jumprelu":
            sae = JumpReLUTrainingSAE(
                JumpReLUTrainingSAEConfig(
                    d_in=rows.d_model,
                    d_sae=d_sae,
                    decoder_init_norm=1.0,
                    jumprelu_sparsity_loss_mode="quadratic",  # aims at an L0, as Gemma Scope 2
                    target_l0=float(k),
                    l0_coefficient=1.0,
                    l0_warm_up_steps=schedule.warm_up_steps,
                    jumprelu_init_threshold=initial_threshold(k, d_sae),
                    jumprelu_bandwidth=1.0,
                    device=device,
                )
            )
            return SAETrainer(config, sae, batches)
        case _:
            raise ParamsError(f"saes: no trainer for architecture {architecture!r}; there are topk and jumprelu")
