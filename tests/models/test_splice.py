"""Resuming after a hookpoint is the whole model with that output replaced, to the last bit."""

import pytest
import torch
import transformers
from hypothesis import given, settings
from hypothesis import strategies as st

from darkmatter.models.extract import token_loss
from darkmatter.models.hookpoints import module_of
from darkmatter.models.splice import check_hookpoint, residual_at, resumed, spliced, spliced_loss
from darkmatter.params.types import ParamsError
from darkmatter.storage.artifacts import ArtifactError

SIZES = {
    "vocab_size": 50, "hidden_size": 16, "intermediate_size": 24, "num_hidden_layers": 4, "num_attention_heads": 2,
    "num_key_value_heads": 1, "head_dim": 8, "max_position_embeddings": 64, "initializer_range": 0.3,
}  # fmt: skip
# Blocks 0 and 2 see six tokens back, 1 and 3 see all: a mask that moves with a block changes what comes out.
CONFIGS = {
    "llama": transformers.LlamaConfig(**SIZES),
    "gemma2": transformers.Gemma2Config(**SIZES, sliding_window=6),
}
HOOKPOINTS = [f"resid_post.{layer}" for layer in range(4)]
TOKENS = torch.arange(40).reshape(2, 20) * 7 % 50
FIRST = 5


def build(name):
    torch.manual_seed(0)
    return transformers.AutoModelForCausalLM.from_config(CONFIGS[name]).eval().requires_grad_(False)


@pytest.fixture(params=CONFIGS, scope="module")
def model(request):
    return build(request.param)


def logits(model):
    return model(input_ids=TOKENS, use_cache=False).logits


def hooked(model, hookpoint, residual):
    """The reference: the whole model, with a hook that replaces the block's output."""
    handle = module_of(model, hookpoint).register_forward_hook(lambda *_: residual)
    try:
        return logits(model)
    finally:
        handle.remove()


@pytest.mark.parametrize("hookpoint", HOOKPOINTS)
def test_splicing_x_leaves_logits_bit_equal(model, hookpoint):
    residual = residual_at(model, TOKENS, hookpoint)
    with resumed(model, hookpoint, residual):
        result = logits(model)
    assert torch.equal(result, logits(model))


@pytest.mark.parametrize("hookpoint", HOOKPOINTS)
def test_resumed_pass_equals_a_hook_that_replaces_the_output(model, hookpoint):
    residual = residual_at(model, TOKENS, hookpoint)
    other = spliced(residual, torch.randn(2, 14, 16, generator=torch.manual_seed(1)), FIRST)
    with resumed(model, hookpoint, other):
        result = logits(model)
    assert torch.equal(result, hooked(model, hookpoint, other))
    assert not torch.allclose(result, logits(model), atol=1e-2)


def test_masks_belong_to_places():
    """Why the list of blocks keeps its length: without the lower ones the others get the wrong masks."""
    model = build("gemma2")
    residual = residual_at(model, TOKENS, "resid_post.0")
    whole = model.model.layers
    handle = whole[1].register_forward_pre_hook(lambda _, arguments: (residual, *arguments[1:]))
    model.model.layers, model.config.num_hidden_layers = whole[1:], 3
    shifted = logits(model)
    model.model.layers, model.config.num_hidden_layers = whole, 4
    handle.remove()
    assert not torch.allclose(shifted, logits(model), atol=1e-2)


@settings(max_examples=15)
@given(first=st.integers(0, 18), layer=st.integers(0, 3), name=st.sampled_from(sorted(CONFIGS)))
def test_splicing_changes_only_what_comes_after(first, layer, name):
    model, hookpoint = MODELS.setdefault(name, build(name)), f"resid_post.{layer}"
    residual = residual_at(model, TOKENS, hookpoint)
    rows = residual[:, first:-1] + 1 + torch.arange(16)
    replaced = spliced(residual, rows, first)
    assert torch.equal(replaced[:, first:-1], rows)
    assert torch.equal(replaced[:, :first], residual[:, :first]) and torch.equal(replaced[:, -1], residual[:, -1])
    with resumed(model, hookpoint, replaced):
        result = logits(model)
    clean = logits(model)
    assert torch.equal(result[:, :first], clean[:, :first])
    assert (result[:, first:-1] - clean[:, first:-1]).abs().amax((0, 2)).min() > 1e-4


MODELS = {}


def test_loss_is_scored_where_extraction_scores_it(model):
    residual = residual_at(model, TOKENS, "resid_post.1")
    result = spliced_loss(model, TOKENS, "resid_post.1", residual, FIRST)
    assert result.shape == (2, 14)
    assert torch.equal(result, token_loss(model, TOKENS, FIRST))


def test_blocks_are_put_back_even_when_the_pass_fails(model):
    whole = model.model.layers
    with pytest.raises(ZeroDivisionError), resumed(model, "resid_post.1", residual_at(model, TOKENS, "resid_post.1")):
        assert model.model.layers is not whole
        raise ZeroDivisionError
    assert model.model.layers is whole


def test_lower_blocks_do_not_run(model):
    residual = residual_at(model, TOKENS, "resid_post.2")
    ran = []
    handles = [block.register_forward_hook(lambda *_: ran.append(1)) for block in model.model.layers]
    with resumed(model, "resid_post.2", residual):
        logits(model)
    for handle in handles:
        handle.remove()
    assert len(ran) == 1


@pytest.mark.parametrize(
    ("hookpoint", "message"),
    [("attn_out.1", "whole block"), ("mlp_out.1", "whole block"), ("resid_post.4", "layers 0 to 3")],
)
def test_hookpoints_that_cannot_resume_are_refused(model, hookpoint, message):
    with pytest.raises(ParamsError, match=message):
        check_hookpoint(hookpoint, 4)
    with pytest.raises(ParamsError, match=message), resumed(model, hookpoint, torch.zeros(2, 20, 16)):
        pass


@pytest.mark.parametrize("shape", [(2, 19, 16), (1, 20, 16), (2, 20, 8)])
def test_a_residual_of_another_shape_is_refused(model, shape):
    residual = torch.zeros(shape)
    with pytest.raises(ArtifactError, match="the tokens need"), resumed(model, "resid_post.1", residual):
        token_loss(model, TOKENS, FIRST)
