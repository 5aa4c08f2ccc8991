"""sae-lens's trainer of each architecture, on synthetic activations. Imports sae-lens (seconds): see `train`.

TopK and JumpReLU are trained as everywhere here. The others get the same batches, steps and learning rate. Their L0 is
made to match: BatchTopK and its nested kind have k, matching pursuit takes k steps, and the penalty of those with an L1
loss is steered until so many latents fire.
"""

import math

import torch
from sae_lens import (
    BatchTopKTrainingSAE,
    BatchTopKTrainingSAEConfig,
    GatedTrainingSAE,
    GatedTrainingSAEConfig,
    MatchingPursuitTrainingSAE,
    MatchingPursuitTrainingSAEConfig,
    MatryoshkaBatchTopKTrainingSAE,
    MatryoshkaBatchTopKTrainingSAEConfig,
    SAETrainer,
    StandardTrainingSAE,
    StandardTrainingSAEConfig,
)
from sae_lens.config import SAETrainerConfig
from sae_lens.saes.sae import TrainingSAE, TrainStepOutput
from torch import Tensor

from darkmatter.params.saes import Training
from darkmatter.saes.training.schedule import Schedule
from darkmatter.saes.training.trainers import make_trainer
from darkmatter.saes.training.training_rows import TrainingRows

LEVELS = (4, 2, 1)  # a nested SAE has levels of a quarter, a half and all of its latents
FIRST_PENALTY = 0.5  # steering leaves it within some tens of steps
GAIN = 0.01  # of the penalty's logarithm, in a step on which e times too many latents fire


class SteeredTrainer(SAETrainer):
    """sae-lens's trainer; the L1 penalty rises while more than the wanted latents fire, and falls while fewer do."""

    def __init__(self, cfg: SAETrainerConfig, sae: TrainingSAE, data_provider: object, wanted: int) -> None:
        super().__init__(cfg, sae, data_provider)
        self.wanted, self.penalty = wanted, FIRST_PENALTY

    def get_coefficients(self) -> dict[str, float]:
        return super().get_coefficients() | {"l1": self.penalty}

    def step(self, batch: Tensor) -> TrainStepOutput:
        output = super().step(batch)
        fired = int(output.feature_acts.count_nonzero()) / len(batch)
        self.penalty *= math.exp(GAIN * max(-1.0, min(1.0, math.log(max(fired, 0.1) / self.wanted))))
        return output


def make_synthetic_trainer(
    architecture: str, rows: TrainingRows, schedule: Schedule, training: Training, d_sae: int, k: int, seed: int
) -> SAETrainer:
    """A trainer on the CPU, its SAE initialised from `seed`."""
    if architecture in ("topk", "jumprelu"):
        return make_trainer(architecture, rows, schedule, training, d_sae, k, seed)
    # Its schedule and its batches are those of the others.
    usual = make_trainer("topk", rows, schedule, training, d_sae, k, seed)
    torch.manual_seed(seed)
    size = {"d_in": rows.d_model, "d_sae": d_sae, "decoder_init_norm": 1.0}
    auxiliary = {"k": float(k), "aux_loss_coefficient": training.auxiliary_coefficient}
    match architecture:
        case "batchtopk":
            sae = BatchTopKTrainingSAE(BatchTopKTrainingSAEConfig(**size, **auxiliary))
        case "matryoshka_batchtopk":
            widths = [d_sae // part for part in LEVELS]
            sae = MatryoshkaBatchTopKTrainingSAE(
                MatryoshkaBatchTopKTrainingSAEConfig(**size, **auxiliary, matryoshka_widths=widths)
            )
        case "matching_pursuit":
            sae = MatchingPursuitTrainingSAE(MatchingPursuitTrainingSAEConfig(**size, max_iterations=k))
        case "standard":
            sae = StandardTrainingSAE(StandardTrainingSAEConfig(**size))
            return SteeredTrainer(usual.cfg, sae, usual.data_provider, k)
        case "gated":
            sae = GatedTrainingSAE(GatedTrainingSAEConfig(**size))
            return SteeredTrainer(usual.cfg, sae, usual.data_provider, k)
        case _:
            raise ValueError(f"no trainer for architecture {architecture!r}")
    return SAETrainer(usual.cfg, sae, usual.data_provider)
