"""TopK with a linear skip for sae-lens: x̂ = Sae(x) + (x − b_dec) A B, with A [d_model, rank] and B [rank, d_model].

All of it is trained at once. B is zero at first, so that training begins as TopK's does. Importing this module
registers the two classes with sae-lens under `skip_topk`, so that its own functions save and load them. Imports
sae-lens (seconds).
"""

from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Float
from sae_lens import TopKSAE, TopKSAEConfig, TopKTrainingSAEConfig, register_sae_class, register_sae_training_class
from sae_lens.saes.sae import TrainStepInput
from torch import Tensor, nn

from darkmatter.saes.training.sparse_topk import (
    SparseAutoencode,
    SparseTopKTrainingSAE,
    SparseTrainStepOutput,
    as_sparse,
)

ARCHITECTURE = "skip_topk"


def skip_of(sae: Any, x: Float[Tensor, "*rows d_model"]) -> Float[Tensor, "*rows d_model"]:
    """What the linear map adds to the sum of latents."""
    result: Tensor = (x - sae.b_dec) @ sae.skip_in @ sae.skip_out
    return result


def draw_skip(sae: Any) -> None:
    """First weights of the skip, drawn after all others; rank 0 draws nothing."""
    d_in, rank = sae.cfg.d_in, sae.cfg.rank
    sae.skip_in = nn.Parameter(torch.randn(d_in, rank, dtype=sae.dtype, device=sae.device) / d_in**0.5)
    sae.skip_out = nn.Parameter(torch.zeros(rank, d_in, dtype=sae.dtype, device=sae.device))


@dataclass
class SkipTopKSAEConfig(TopKSAEConfig):
    """TopK's, with the rank of the skip."""

    rank: int = 0

    @classmethod
    def architecture(cls) -> str:
        return ARCHITECTURE


class SkipTopKSAE(TopKSAE):
    """What is trained, for inference. `encode` and `decode` are TopK's; only `forward` knows x, and adds the skip."""

    def initialize_weights(self) -> None:
        super().initialize_weights()
        draw_skip(self)

    def forward(self, x: Tensor) -> Tensor:
        result: Tensor = self.decode(self.encode(x)) + skip_of(self, x)
        return result


@dataclass
class SkipTopKTrainingSAEConfig(TopKTrainingSAEConfig):
    """TopK's, with the rank of the skip."""

    rank: int = 0

    @classmethod
    def architecture(cls) -> str:
        return ARCHITECTURE


class SkipTopKTrainingSAE(SparseTopKTrainingSAE):
    """The sparse TopK step, with the skip in what is compared with x."""

    def initialize_weights(self) -> None:
        super().initialize_weights()
        draw_skip(self)

    def training_forward_pass(self, step_input: TrainStepInput) -> SparseTrainStepOutput:
        """Loss of one batch, as TopK's; dead latents are held against what latents and skip leave together."""
        x, cfg = step_input.sae_in, self.cfg
        dead, k_dead = None, 0
        if step_input.dead_neuron_mask is not None and step_input.dead_neuron_mask.any():
            dead = step_input.dead_neuron_mask.nonzero().squeeze(1)
            k_dead = min(cfg.d_in // 2, len(dead))
        if len(self.pre) != len(x):
            self.pre = torch.empty(len(x), cfg.d_sae)
        latents, dead_hat, value, index = SparseAutoencode.apply(
            x, self.W_enc, self.b_enc, self.W_dec, self.b_dec, cfg.k, dead, k_dead, self.pre
        )
        x_hat = latents + skip_of(self, x)
        losses = {"mse_loss": (x_hat - x).square().sum(1).mean()}
        if dead is not None:
            share = min(len(dead) / (cfg.d_in // 2), 1.0)
            gap = (dead_hat - (x - x_hat).detach()).square().sum(1).mean()
            losses["auxiliary_reconstruction_loss"] = cfg.aux_loss_coefficient * share * gap
        return SparseTrainStepOutput(
            sae_in=x,
            sae_out=x_hat,
            feature_acts=as_sparse(index, value, cfg.d_sae),
            hidden_pre=value,
            loss=sum(losses.values(), x.new_zeros(())),
            losses=losses,
            index=index,
            value=value,
        )


register_sae_class(ARCHITECTURE, SkipTopKSAE, SkipTopKSAEConfig)
register_sae_training_class(ARCHITECTURE, SkipTopKTrainingSAE, SkipTopKTrainingSAEConfig)
