"""The sae-lens trainer of each of its training classes. Imports sae-lens (seconds).

Each begins as the SAEs of the graph do: decoder rows of norm one in random directions, the encoder their transpose, the
same batches, learning rate and dead-latent loss. What else a class has is sae-lens's default.
"""

import math
from typing import Any

import torch
from sae_lens import (
    AbsTopKTrainingSAE,
    AbsTopKTrainingSAEConfig,
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
    TrainingSAE,
)
from sae_lens.saes.sae import TrainStepOutput
from torch import Tensor

from darkmatter.params.saes import Training
from darkmatter.saes.training.schedule import Schedule
from darkmatter.saes.training.trainers import make_trainer
from darkmatter.saes.training.training_rows import TrainingRows

MATRYOSHKA = (16, 4, 1)  # d_sae over the latents of each level
L1 = "l1"
GAIN = 0.03  # of log L1 coefficient for each step, for a log L0 that is off by one or more


class SteeredTrainer(SAETrainer):
    """Finds the L1 coefficient of an L0: it rises while too many latents fire and falls while too few do.

    Attributes:
        target: the L0.
        steered: steps on which the coefficient moves.
    """

    target: float
    steered: range

    def step(self, batch: Tensor) -> TrainStepOutput:
        output = super().step(batch)
        if self.n_training_steps in self.steered:
            scheduler = self.coefficient_schedulers[L1]
            l0 = float(output.feature_acts.count_nonzero()) / len(batch)
            off = math.log(l0 / self.target) if l0 else -1.0
            scheduler.final_value *= math.exp(GAIN * min(max(off, -1.0), 1.0))
            scheduler.current_value = scheduler.final_value
        return output


def make_trainer_of(
    architecture: str,
    rows: TrainingRows,
    schedule: Schedule,
    training: Training,
    d_sae: int,
    k: int,
    seed: int,
    steered_to_the_end: bool = False,
) -> SAETrainer:
    """A trainer of one SAE on the CPU, initialised from `seed`.

    Args:
        architecture: a training class of sae-lens.
        k: latents per token: exact, or what the sparsity loss is steered to.
        steered_to_the_end: an L1 coefficient moves from the end of the learning rate's warm-up, before which nothing
            answers it, until the last step; or else until the learning rate begins to fall. Then the last steps have
            the one loss that sae-lens trains with, and L0 drifts a little.
    """
    if architecture in ("topk", "jumprelu"):
        return make_trainer(architecture, rows, schedule, training, d_sae, k, seed)
    usual = make_trainer("topk", rows, schedule, training, d_sae, k, seed)  # schedule and batches are those of all
    torch.manual_seed(seed)
    sae = make_sae(architecture, rows.d_model, d_sae, k, schedule, training)
    if L1 not in sae.get_coefficients():
        return SAETrainer(usual.cfg, sae, usual.data_provider)
    trainer = SteeredTrainer(usual.cfg, sae, usual.data_provider)
    trainer.target = float(k)
    last = schedule.steps - (0 if steered_to_the_end else schedule.decay_steps)
    trainer.steered = range(schedule.warm_up_steps, last)
    return trainer


def make_sae(
    architecture: str, d_model: int, d_sae: int, k: int, schedule: Schedule, training: Training
) -> TrainingSAE[Any]:
    """An SAE of sae-lens with its first weights."""
    shared: dict[str, Any] = {"d_in": d_model, "d_sae": d_sae, "decoder_init_norm": 1.0}
    of_l1 = shared | {"l1_warm_up_steps": schedule.warm_up_steps}
    of_topk = shared | {"k": k, "aux_loss_coefficient": training.auxiliary_coefficient}
    match architecture:
        case "standard":
            return StandardTrainingSAE(StandardTrainingSAEConfig(**of_l1))
        case "gated":
            return GatedTrainingSAE(GatedTrainingSAEConfig(**of_l1))
        case "abstopk":
            return AbsTopKTrainingSAE(AbsTopKTrainingSAEConfig(**of_topk))
        case "batchtopk":
            return BatchTopKTrainingSAE(BatchTopKTrainingSAEConfig(**of_topk))
        case "matryoshka_batchtopk":
            levels = [d_sae // part for part in MATRYOSHKA]
            return MatryoshkaBatchTopKTrainingSAE(
                MatryoshkaBatchTopKTrainingSAEConfig(**of_topk, matryoshka_widths=levels)
            )
        case "matching_pursuit":
            return MatchingPursuitTrainingSAE(MatchingPursuitTrainingSAEConfig(**shared, max_iterations=k))
    raise ValueError(f"there is no training class {architecture!r}")
