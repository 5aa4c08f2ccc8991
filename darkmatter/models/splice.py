"""Splice vectors into the residual stream and run only what comes after them.

The blocks up to the hookpoint run once for a context; every splice resumes from there. The list of blocks keeps its
length and order, because transformers chooses each block's attention mask by its place (Gemma 2: sliding or full): the
blocks below the hookpoint are replaced by ones that pass their input on, the hookpoint's by one that returns what is
given. What runs is bit-identical to the whole model with the hookpoint's output replaced.
"""

import contextlib
from collections.abc import Iterator

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from transformers import PreTrainedModel

from darkmatter.models.extract import token_loss
from darkmatter.models.hookpoints import layer_of, module_of, read
from darkmatter.params.types import ParamsError
from darkmatter.storage.artifacts import ArtifactError

Residual = Float[Tensor, "context position d_model"]


class PassOn(nn.Module):
    """Stands where a block below the hookpoint was."""

    def forward(self, hidden_states: Tensor, *arguments: object, **options: object) -> Tensor:
        return hidden_states


class Given(nn.Module):
    """Stands where the hookpoint's block was and returns `residual`, whatever comes in."""

    def __init__(self, residual: Residual) -> None:
        super().__init__()
        self.residual = residual

    def forward(self, hidden_states: Tensor, *arguments: object, **options: object) -> Tensor:
        if hidden_states.shape != self.residual.shape:
            raise ArtifactError(
                f"the residual given has shape {list(self.residual.shape)}, the tokens need {list(hidden_states.shape)}"
            )
        return self.residual


def check_hookpoint(hookpoint: str, layers: int) -> None:
    """Refuse a hookpoint after which a pass cannot resume.

    Raises:
        ParamsError: it is not the output of a block, or the model has no such block.
    """
    if not hookpoint.startswith("resid_post."):
        raise ParamsError(
            f"figures.main_hookpoint {hookpoint}: a pass resumes after a whole block, so vectors can be spliced in at "
            "resid_post.* alone. Set figures.main_hookpoint to one of these."
        )
    if layer_of(hookpoint) >= layers:
        raise ParamsError(f"figures.main_hookpoint {hookpoint}: the model has layers 0 to {layers - 1}")


@contextlib.contextmanager
def resumed(model: PreTrainedModel, hookpoint: str, residual: Residual) -> Iterator[PreTrainedModel]:
    """Passes of `model` inside the block start after `hookpoint`, from `residual`; the tokens only give its shape.

    Raises:
        ParamsError: `hookpoint` is not resid_post.
        ArtifactError: the model has no such layer, or `residual` has another shape than the tokens need.
    """
    check_hookpoint(hookpoint, len(model.model.layers))
    whole = model.model.layers
    layer = layer_of(hookpoint)
    model.model.layers = nn.ModuleList([*(PassOn() for _ in range(layer)), Given(residual), *whole[layer + 1 :]])
    try:
        yield model
    finally:
        model.model.layers = whole


@torch.no_grad()
def residual_at(model: PreTrainedModel, tokens: Int[Tensor, "context token"], hookpoint: str) -> Residual:
    """The residual stream at `hookpoint`, all positions, from a pass that stops there."""
    module_of(model, hookpoint)
    return read(model, tokens, [hookpoint])[hookpoint].to(tokens.device)


def spliced(residual: Residual, rows: Float[Tensor, "context kept d_model"], first_position: int) -> Residual:
    """`residual` with the rows at positions first_position, first_position + 1, … replaced."""
    replaced = residual.clone()
    replaced[:, first_position : first_position + rows.shape[1]] = rows.to(residual)
    return replaced


@torch.no_grad()
def spliced_loss(
    model: PreTrainedModel,
    tokens: Int[Tensor, "context token"],
    hookpoint: str,
    residual: Residual,
    first_position: int,
) -> Float[Tensor, "context kept"]:
    """Next-token cross-entropy, nats, at positions first_position … context_length − 2, resumed from `residual`."""
    with resumed(model, hookpoint, residual):
        return token_loss(model, tokens, first_position)
