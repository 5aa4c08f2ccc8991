"""Hookpoints: where in a transformer an activation is read, and how it is read."""

import contextlib
from collections.abc import Iterator

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.utils.hooks import RemovableHandle
from transformers import PreTrainedModel

from darkmatter.storage.artifacts import ArtifactError

Captured = dict[str, Float[Tensor, "context position d_model"]]


def layer_of(hookpoint: str) -> int:
    """`resid_post.14` → 14."""
    return int(hookpoint.rpartition(".")[2])


def module_of(model: PreTrainedModel, hookpoint: str) -> nn.Module:
    """The module whose output is the activation at `hookpoint`; of `attn_z.L` the one whose input it is.

    `resid_post.L` is the output of block L. (`hidden_states[-1]` of transformers is after the final norm and
    is not resid_post of the last block.) Gemma 2 normalises what attention and MLP write; there `attn_out` and
    `mlp_out` are taken after those norms, so that the parts add up to the residual stream (Eq. 16). `attn_z.L` is
    what comes into the output projection: the heads side by side, heads · d_head wide.

    Raises:
        ArtifactError: the model has no such layer.
    """
    layers = model.model.layers
    kind, layer = hookpoint.split(".")[0], layer_of(hookpoint)
    if layer >= len(layers):
        raise ArtifactError(f"hookpoint {hookpoint}: the model has layers 0 to {len(layers) - 1}; fix `hookpoints`")
    block = layers[layer]
    match kind:
        case "resid_post":
            return block
        case "attn_out":
            return block.post_attention_layernorm if has_post_norms(model) else block.self_attn
        case "attn_z":
            return block.self_attn.o_proj
        case "mlp_out":
            return block.post_feedforward_layernorm if has_post_norms(model) else block.mlp
    raise ArtifactError(f"hookpoint {hookpoint}: {kind} is none of resid_post, attn_out, attn_z, mlp_out")


def has_post_norms(model: PreTrainedModel) -> bool:
    return hasattr(model.model.layers[0], "post_feedforward_layernorm")


@contextlib.contextmanager
def capture(model: PreTrainedModel, hookpoints: list[str]) -> Iterator[Captured]:
    """Collect the activations at `hookpoints` during the forward passes inside the block, each on the CPU at once."""
    captured: Captured = {}

    def keep(name: str, output: Tensor | tuple) -> None:
        captured[name] = (output[0] if isinstance(output, tuple) else output).detach().cpu()

    def hook(name: str) -> RemovableHandle:
        module = module_of(model, name)
        if name.startswith("attn_z."):
            return module.register_forward_pre_hook(lambda _, inputs: keep(name, inputs))
        return module.register_forward_hook(lambda _, inputs, output: keep(name, output))

    handles = [hook(name) for name in hookpoints]
    try:
        yield captured
    finally:
        for handle in handles:
            handle.remove()


@contextlib.contextmanager
def truncated(model: PreTrainedModel, layers: int) -> Iterator[PreTrainedModel]:
    """Only the first `layers` blocks run inside; what they compute is bit-identical to the whole model."""
    whole = model.model.layers
    model.model.layers = whole[:layers]
    try:
        yield model.model
    finally:
        model.model.layers = whole


@torch.no_grad()
def read(model: PreTrainedModel, tokens: torch.Tensor, hookpoints: list[str]) -> Captured:
    """Activations at `hookpoints`, on the CPU, from one forward pass that stops after the last layer needed."""
    with capture(model, hookpoints) as captured, truncated(model, max(map(layer_of, hookpoints)) + 1) as body:
        body(input_ids=tokens, use_cache=False)
    return captured
