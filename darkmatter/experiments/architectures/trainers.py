"""The trainer of each variant: a training class of sae-lens, or TopK with a linear skip. Imports sae-lens (seconds)."""

import torch
from sae_lens import SAETrainer

from darkmatter.experiments.architectures.names import SKIP
from darkmatter.experiments.architectures.skip_topk import SkipTopKTrainingSAE, SkipTopKTrainingSAEConfig
from darkmatter.params.saes import Training
from darkmatter.saes.training.architectures import make_trainer_of
from darkmatter.saes.training.schedule import Schedule
from darkmatter.saes.training.sparse_topk import SparseTopKTrainer
from darkmatter.saes.training.trainers import make_trainer
from darkmatter.saes.training.training_rows import TrainingRows


def make_architecture_trainer(
    architecture: str,
    rank: int | None,
    rows: TrainingRows,
    schedule: Schedule,
    training: Training,
    d_sae: int,
    k: int,
    seed: int,
) -> SAETrainer:
    """A trainer of one SAE on the CPU.

    Args:
        architecture: a training class of sae-lens, or SKIP.
        rank: of the skip.
        k: latents per token: exact, or what the sparsity loss is steered to.
    """
    if architecture != SKIP:
        return make_trainer_of(architecture, rows, schedule, training, d_sae, k, seed)
    usual = make_trainer("topk", rows, schedule, training, d_sae, k, seed)
    torch.manual_seed(seed)
    plain = usual.sae.cfg
    shared = {"d_in": plain.d_in, "d_sae": d_sae, "k": k, "decoder_init_norm": 1.0}
    shared |= {"aux_loss_coefficient": plain.aux_loss_coefficient, "rescale_acts_by_decoder_norm": False}
    sae = SkipTopKTrainingSAE(SkipTopKTrainingSAEConfig(**shared, rank=rank))
    return SparseTopKTrainer(usual.cfg, sae, usual.data_provider)
