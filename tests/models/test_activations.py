"""Hookpoints and extraction on tiny random models: the same numbers however the pass is cut."""

import numpy as np
import pytest
import torch
import transformers

from darkmatter.models.extract import LOSS, token_loss
from darkmatter.models.hookpoints import capture, module_of, read
from darkmatter.storage.artifacts import ArtifactError
from stages.activations import lay_out

SIZES = {
    "vocab_size": 50, "hidden_size": 16, "intermediate_size": 24, "num_hidden_layers": 3, "num_attention_heads": 2,
    "num_key_value_heads": 1, "head_dim": 12, "max_position_embeddings": 64,
}  # fmt: skip
CONFIGS = {"llama": transformers.LlamaConfig, "gemma2": transformers.Gemma2Config}


@pytest.fixture(params=CONFIGS)
def model(request):
    torch.manual_seed(0)
    return transformers.AutoModelForCausalLM.from_config(CONFIGS[request.param](**SIZES)).eval()


TOKENS = torch.arange(40).reshape(2, 20) % 50


def test_truncated_pass_is_bit_identical_to_the_whole(model):
    whole = model(TOKENS, output_hidden_states=True, use_cache=False).hidden_states
    result = read(model, TOKENS, ["resid_post.0", "resid_post.1"])
    assert torch.equal(result["resid_post.0"], whole[1])
    assert torch.equal(result["resid_post.1"], whole[2])
    assert len(model.model.layers) == 3  # put back


def test_hooks_are_removed_even_when_the_pass_fails(model):
    with pytest.raises(ZeroDivisionError), capture(model, ["resid_post.1"]):
        raise ZeroDivisionError
    assert not module_of(model, "resid_post.1")._forward_hooks


def test_last_layer_is_taken_before_the_final_norm(model):
    """hidden_states[-1] of transformers is after the norm; resid_post of the last block is not."""
    result = read(model, TOKENS, ["resid_post.2"])["resid_post.2"]
    last = model(TOKENS, output_hidden_states=True, use_cache=False).hidden_states[-1]
    assert not torch.allclose(result, last)
    assert torch.allclose(model.model.norm(result), last, atol=1e-6)


def test_parts_add_up_to_the_residual(model):
    """Eq. 16: resid_post.L = resid_post.L−1 + attn_out.L + mlp_out.L, post-norms included."""
    result = read(model, TOKENS, ["resid_post.0", "attn_out.1", "mlp_out.1", "resid_post.1"])
    parts = result["resid_post.0"] + result["attn_out.1"] + result["mlp_out.1"]
    assert torch.allclose(parts, result["resid_post.1"], atol=1e-6)


def test_loss_is_the_models_own(model):
    with torch.no_grad():
        logits = model(TOKENS, use_cache=False).logits
    expected = torch.nn.functional.cross_entropy(
        logits[:, 5:-1].flatten(0, 1), TOKENS[:, 6:].flatten(), reduction="none"
    )
    with torch.no_grad():
        assert torch.allclose(token_loss(model, TOKENS, 5).flatten(), expected, atol=1e-6)
        assert token_loss(model, TOKENS, 5).shape == (2, 14)


@pytest.mark.parametrize(("hookpoint", "message"), [("resid_post.3", "layers 0 to 2"), ("resid_pre.1", "is none of")])
def test_unknown_hookpoints_are_refused(model, hookpoint, message):
    with pytest.raises(ArtifactError, match=message):
        read(model, TOKENS, [hookpoint]) if hookpoint == "resid_pre.1" else module_of(model, hookpoint)


def test_shards_are_laid_out_by_hookpoint_and_take_no_more_room(tmp_path):
    for first, names in enumerate((["a", "b", LOSS], ["a", LOSS])):
        (tmp_path / "shards" / f"{first:06d}").mkdir(parents=True)
        for name in names:
            np.save(tmp_path / "shards" / f"{first:06d}" / f"{name}.npy", np.full((2, 3), first, np.float32))
        lay_out(tmp_path / "shards" / f"{first:06d}", tmp_path / "out")
    laid = sorted(path.relative_to(tmp_path / "out").as_posix() for path in (tmp_path / "out").rglob("*.npy"))
    assert laid == ["a/000000.npy", "a/000001.npy", "b/000000.npy"]
    assert (tmp_path / "out/a/000001.npy").samefile(tmp_path / "shards/000001/a.npy")


def test_heads_are_what_the_output_projection_reads(model):
    """attn_z.L is heads · d_head wide; through the projection (and Gemma 2's norm) it is attn_out.L, bit by bit."""
    model.model.layers[1].self_attn.o_proj.weight.data *= 2
    result = read(model, TOKENS, ["attn_z.1", "attn_out.1"])
    block = model.model.layers[1]
    written = block.self_attn.o_proj(result["attn_z.1"])
    if hasattr(block, "post_feedforward_layernorm"):
        written = block.post_attention_layernorm(written)
    assert torch.equal(written, result["attn_out.1"])
    assert result["attn_z.1"].shape == (2, 20, 2 * SIZES["head_dim"])
    assert not module_of(model, "attn_z.1")._forward_pre_hooks
