"""A TopK SAE for sae-lens whose training step never multiplies by zeros.

sae-lens's own TopK step decodes, and takes three gradients, through dense [batch, d_sae] activations of which
k are not zero. Here the encoder product is dense, then everything else touches k latents per row: decoding
and both weight gradients are sums of few rows, which `torch.nn.functional.embedding_bag` computes at memory
speed. Configuration, loss names, optimiser states and the file format are sae-lens's.

With g = ∂loss/∂x̂, and v_bj the value of latent j in row b, the gradients are
    ∂v_bj = g_b · W_dec[j] where v_bj > 0,   ∂W_dec[j] = Σ_b v_bj g_b,   ∂W_enc[:, j] = Σ_b ∂v_bj (x_b − b_dec),
both sums over the rows b that chose latent j.
"""

import warnings
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Float, Int
from sae_lens import SAETrainer, TopKTrainingSAE
from sae_lens.config import SAETrainerConfig
from sae_lens.saes.sae import TrainStepInput, TrainStepOutput
from torch import Tensor, nn
from torch.nn.functional import embedding_bag

from darkmatter.saes.topk import exact_topk

# sampled_addmm is the one public product of this kind; torch says "beta" once per process.
warnings.filterwarnings("ignore", message="Sparse CSR tensor support is in beta state")


@dataclass(kw_only=True)
class SparseTrainStepOutput(TrainStepOutput):
    """sae-lens's step output with the codes beside it.

    `feature_acts` is the same as a sparse tensor; `hidden_pre` holds the pre-activations of the k chosen
    latents only, since nothing needs the others after the choice.
    """

    index: Int[Tensor, "row k"]
    value: Float[Tensor, "row k"]


class SparseAutoencode(torch.autograd.Function):
    """x → (x̂, x̂_dead, value, index): the SAE, and the part of it that latents in `dead` would add.

    x̂_dead is the sum of the k_dead largest pre-activations among the dead latents, without b_dec: what the
    auxiliary loss compares with the error. It shares the weights' gradients, so they are written once.
    `pre` [row, latent] is overwritten with the pre-activations.
    """

    @staticmethod
    def forward(ctx, x, W_enc, b_enc, W_dec, b_dec, k, dead, k_dead, pre):
        centred = x - b_dec
        torch.addmm(b_enc, centred, W_enc, out=pre)  # (row, latent)
        value, index = exact_topk(pre, k)
        ctx.firing = value > 0
        value = value.relu_()
        index = index.int()
        x_hat = decode(index, value, W_dec, b_dec)
        dead_hat = torch.zeros_like(x[:0])
        ctx.dead, ctx.dead_acts = dead, None
        if dead is not None:
            pre_dead = pre.index_select(1, dead)  # (row, dead)
            chosen = pre_dead.topk(k_dead, dim=1, sorted=False)
            ctx.dead_acts = torch.zeros_like(pre_dead).scatter_(1, chosen.indices, chosen.values)
            dead_hat = ctx.dead_acts @ W_dec[dead]
        ctx.save_for_backward(centred, W_enc, W_dec, value, index)
        ctx.mark_non_differentiable(value, index)
        return x_hat, dead_hat, value, index

    @staticmethod
    def backward(ctx, g, g_dead, _value, _index):
        centred, W_enc, W_dec, value, index = ctx.saved_tensors
        latents = W_dec.shape[0]
        g = g.contiguous()
        d_value = per_code_products(g, W_dec, index) * ctx.firing
        order, offsets, row = rows_of_each_latent(index, latents)
        d_W_dec = sums_over_rows(g, value, order, offsets, row)
        d_W_enc = sums_over_rows(centred, d_value, order, offsets, row)  # (latent, d_model)
        d_b_enc = torch.zeros(latents).index_add_(0, index.flatten(), d_value.flatten())
        if ctx.dead is not None:
            d_acts = (g_dead @ W_dec[ctx.dead].T) * (ctx.dead_acts != 0)
            d_W_dec.index_add_(0, ctx.dead, ctx.dead_acts.T @ g_dead)
            d_W_enc.index_add_(0, ctx.dead, d_acts.T @ centred)
            d_b_enc.index_add_(0, ctx.dead, d_acts.sum(0))
        d_b_dec = g.sum(0) - W_enc @ d_b_enc
        return None, d_W_enc.T, d_b_enc, d_W_dec, d_b_dec, None, None, None, None


def decode(index: Int[Tensor, "row k"], value: Float[Tensor, "row k"], W_dec: Tensor, b_dec: Tensor) -> Tensor:
    return embedding_bag(index, W_dec, per_sample_weights=value, mode="sum").add_(b_dec)


def per_code_products(g: Tensor, W_dec: Tensor, index: Int[Tensor, "row k"]) -> Float[Tensor, "row k"]:
    """g_b · W_dec[j] for the chosen (b, j) only. `sampled_addmm` takes 0.5–0.9 of the time of the private
    operator behind embedding_bag's own backward, and 1/20 of gathering the rows of W_dec."""
    rows, k = index.shape
    zeros = torch.zeros(rows * k)
    starts = torch.arange(0, rows * k + 1, k, dtype=torch.int32)
    chosen = torch.sparse_csr_tensor(starts, index.flatten(), zeros, (rows, W_dec.shape[0]), check_invariants=False)
    return torch.sparse.sampled_addmm(chosen, g, W_dec.T, beta=0.0).values().view(rows, k)


def rows_of_each_latent(index: Int[Tensor, "row k"], latents: int) -> tuple[Tensor, Tensor, Tensor]:
    """The codes sorted by latent: their order, where each latent's list starts, and the row of each code."""
    flat = index.flatten()
    order = torch.argsort(flat, stable=True)
    counts = torch.bincount(flat, minlength=latents)
    offsets = (counts.cumsum(0) - counts).int()
    return order, offsets, (order // index.shape[1]).int()


def sums_over_rows(vectors: Tensor, weights: Tensor, order: Tensor, offsets: Tensor, row: Tensor) -> Tensor:
    """For each latent, Σ weight · vector over the rows that chose it. (latent, d_model)"""
    ordered = weights.flatten()[order]
    return embedding_bag(row, vectors, offsets=offsets, per_sample_weights=ordered, mode="sum")


class SparseTopKTrainingSAE(TopKTrainingSAE):
    """sae-lens's TopK training SAE with a sparse step; float32, CPU, unit-norm decoder rows.

    It wants `rescale_acts_by_decoder_norm=False` and `decoder_init_norm=1.0`: the decoder's norm is held at one
    by `SparseTopKTrainer` instead of being divided out in each step.
    """

    def initialize_weights(self) -> None:
        """As sae-lens, with W_enc stored transposed, the layout its gradient is computed in."""
        super().initialize_weights()
        if self.cfg.rescale_acts_by_decoder_norm or self.cfg.normalize_activations != "none":
            raise ValueError(
                "the sparse step needs rescale_acts_by_decoder_norm=False and normalize_activations='none'"
            )
        if not self.cfg.apply_b_dec_to_input:
            raise ValueError("the sparse step needs apply_b_dec_to_input=True")
        self.W_enc = nn.Parameter(self.W_enc.data.T.contiguous().T)  # type: ignore[has-type]  # sae-lens declares it
        self.pre = torch.empty(0, self.cfg.d_sae)

    def training_forward_pass(self, step_input: TrainStepInput) -> SparseTrainStepOutput:
        """Loss of one batch: squared error summed over dimensions, plus sae-lens's auxiliary loss on dead latents."""
        x = step_input.sae_in
        dead, k_dead = None, 0
        if step_input.dead_neuron_mask is not None and self.cfg.aux_loss_coefficient > 0:
            indices = step_input.dead_neuron_mask.nonzero().squeeze(1)
            if len(indices):
                dead, k_dead = indices, min(self.cfg.d_in // 2, len(indices))
        if len(self.pre) != len(x):
            # One buffer for all steps: fresh memory of this size costs a quarter of the product at 8,192 latents.
            self.pre = torch.empty(len(x), self.cfg.d_sae)
        x_hat, dead_hat, value, index = SparseAutoencode.apply(
            x, self.W_enc, self.b_enc, self.W_dec, self.b_dec, self.cfg.k, dead, k_dead, self.pre
        )
        losses = {"mse_loss": (x_hat - x).square().sum(1).mean()}
        losses["auxiliary_reconstruction_loss"] = x_hat.new_zeros(())
        if dead is not None:
            share = min(len(dead) / (self.cfg.d_in // 2), 1.0)
            gap = (dead_hat - (x - x_hat).detach()).square().sum(1).mean()
            losses["auxiliary_reconstruction_loss"] = self.cfg.aux_loss_coefficient * share * gap
        return SparseTrainStepOutput(
            sae_in=x,
            sae_out=x_hat,
            feature_acts=as_sparse(index, value, self.cfg.d_sae),
            hidden_pre=value,
            loss=losses["mse_loss"] + losses["auxiliary_reconstruction_loss"],
            losses=losses,
            index=index,
            value=value,
        )

    @torch.no_grad()
    def remove_parallel_gradient(self) -> None:
        """Drop the part of W_dec's gradient that only changes the rows' norms."""
        parallel = torch.linalg.vecdot(self.W_dec.grad, self.W_dec).unsqueeze(1)
        self.W_dec.grad.addcmul_(self.W_dec, parallel, value=-1)

    @torch.no_grad()
    def normalise_decoder(self) -> None:
        self.W_dec.div_(self.get_W_dec_norm().unsqueeze(1))

    def process_state_dict_for_saving(self, state_dict: dict[str, Any]) -> None:
        super().process_state_dict_for_saving(state_dict)
        state_dict["W_enc"] = state_dict["W_enc"].contiguous()  # safetensors refuses a transposed view


def as_sparse(index: Int[Tensor, "row k"], value: Float[Tensor, "row k"], d_sae: int) -> Tensor:
    """The codes as sae-lens's consumers expect them: a sparse [row, d_sae] tensor."""
    rows, k = index.shape
    row = torch.arange(rows, dtype=torch.int32).repeat_interleave(k)
    places = torch.stack([row, index.flatten()])
    return torch.sparse_coo_tensor(places, value.flatten(), (rows, d_sae), check_invariants=False)


class SparseTopKTrainer(SAETrainer):
    """sae-lens's trainer with a fused optimiser, a unit-norm decoder, and firing counts taken from the codes."""

    def __init__(self, cfg: SAETrainerConfig, sae: SparseTopKTrainingSAE, data_provider: Any, **options: Any) -> None:
        super().__init__(cfg, sae, data_provider, **options)
        # The fused optimiser copies a gradient that is not row-major, which is 5% of a step: it is given W_enc
        # as it is stored, transposed, in a parameter that shares its memory.
        self.W_enc_rows = nn.Parameter(sae.W_enc.data.T)
        for group in self.optimizer.param_groups:
            group.update(fused=True, foreach=False)  # one pass over the weights instead of ten
            group["params"] = [self.W_enc_rows if weight is sae.W_enc else weight for weight in group["params"]]

    def step(self, batch: Tensor) -> SparseTrainStepOutput:
        """One training step, as the base class does it, but for the decoder's norm and for what fired.

        The base class finds what fired by sums over [batch, d_sae]; even on a sparse tensor they cost 4 ms at
        k = 32 and 17 ms at k = 128, a third of a step at 2,048 latents. The codes give the same counts at once.
        """
        sae = self.sae.train()
        self.n_training_samples += batch.shape[0]
        output = sae.training_forward_pass(
            TrainStepInput(
                sae_in=self.activation_scaler(batch),
                dead_neuron_mask=self.dead_neurons,
                coefficients=self.get_coefficients(),
                n_training_steps=self.n_training_steps,
                is_logging_step=False,
            )
        )
        firings = torch.bincount(output.index[output.value > 0], minlength=sae.cfg.d_sae)
        self.n_forward_passes_since_fired += 1
        self.n_forward_passes_since_fired[firings > 0] = 0
        self.act_freq_scores += firings
        self.n_frac_active_samples += batch.shape[0]
        output.loss.backward()
        nn.utils.clip_grad_norm_(sae.parameters(), 1.0)
        sae.remove_parallel_gradient()
        self.W_enc_rows.grad = sae.W_enc.grad.T
        self.optimizer.step()
        sae.normalise_decoder()
        self.optimizer.zero_grad()
        sae.zero_grad()
        self.lr_scheduler.step()
        return output
