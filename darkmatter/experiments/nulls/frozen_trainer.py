"""A TopK SAE whose decoder stays as it was drawn, and its trainer. Imports sae-lens (seconds): see `frozen_decoder`.

The trainer is the one of every TopK SAE here, less its two steps on the decoder. The decoder asks for no gradient, so
that those of the rest are clipped without it and the optimiser passes it over.
"""

import torch
from sae_lens import SAETrainer

from darkmatter.params.saes import Training
from darkmatter.saes.training.schedule import Schedule
from darkmatter.saes.training.sparse_topk import SparseTopKTrainer, SparseTopKTrainingSAE
from darkmatter.saes.training.trainers import make_trainer
from darkmatter.saes.training.training_rows import TrainingRows


class FrozenDecoderSAE(SparseTopKTrainingSAE):
    """The TopK training SAE, its decoder held."""

    def initialize_weights(self) -> None:
        super().initialize_weights()
        self.W_dec.requires_grad_(False)

    def remove_parallel_gradient(self) -> None:
        """Nothing: the decoder has no gradient."""

    def normalise_decoder(self) -> None:
        """Nothing: a division by norms near one would change the last digits."""


def make_frozen_trainer(
    rows: TrainingRows, schedule: Schedule, training: Training, d_sae: int, k: int, seed: int
) -> SAETrainer:
    """As `make_trainer` makes one for a TopK SAE on the CPU, with the same first weights and the same batches."""
    usual = make_trainer("topk", rows, schedule, training, d_sae, k, seed)
    torch.manual_seed(seed)
    return SparseTopKTrainer(usual.cfg, FrozenDecoderSAE(usual.sae.cfg), usual.data_provider)
