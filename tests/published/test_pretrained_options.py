"""Every key of a published SAE's configuration is honoured, known to change nothing, or refused by its name."""

import json
from pathlib import Path

import numpy as np
import published_saes as published
import pytest
from safetensors.torch import load_file, save_file

from darkmatter.saes.published import document
from darkmatter.saes.published.formats import OPTIONS_OF
from darkmatter.saes.published.load import load_pretrained
from darkmatter.saes.published.options import Option, check_options
from darkmatter.storage.artifacts import ArtifactError

ROWS = published.rows()
WRITTEN = {
    "llama-scope": published.llama_scope,
    "sparsify": published.sparsify,
    "gemma-scope-2": published.gemma_scope_2,
}
CONFIGURATIONS = {"llama-scope": "hyperparams.json", "sparsify": "cfg.json", "gemma-scope-2": "config.json"}
PUBLISHED = {  # what a published hyperparams.json has besides what the fixture writes
    "seed": 42, "expansion_factor": 8, "bias_init_method": "all_zero", "decoder_exactly_fixed_norm": False,
    "init_decoder_norm": 0.5, "init_encoder_norm": None, "init_encoder_with_decoder_transpose": True, "lp": 1,
    "l1_coefficient": 8e-05, "l1_coefficient_warmup_steps": 78125, "k_warmup_steps": 78125, "use_batch_norm_mse": True,
    "use_ghost_grads": False, "tp_size": 1, "ddp_size": 1,
}  # fmt: skip


def change(path: Path, **changed: object) -> None:
    path.write_text(json.dumps(json.loads(path.read_text()) | changed))


@pytest.mark.parametrize("by_norm", [True, False])
@pytest.mark.parametrize(
    "changed",
    [
        PUBLISHED,
        {"apply_decoder_bias_to_pre_encoder": True},
        {"norm_activation": "inference"},
        {"norm_activation": "none"},
        {"dataset_average_activation_norm": {"blocks.15.hook_resid_post": 1.5, "blocks.16.hook_resid_post": 9.0}},
        {"jump_relu_threshold": 0.3, "hook_point_out": None},
    ],
)
def test_llama_scope_computes_what_its_configuration_says(tmp_path, by_norm, changed):
    folder = published.llama_scope(tmp_path, 256, by_norm=by_norm, **changed)
    fires, output = published.authors_llama_scope(folder, ROWS)
    sae = load_pretrained(folder).sae
    codes = sae.encode(ROWS)
    assert codes.l0.mean() > 0
    assert np.array_equal(codes.l0, fires.sum(1)), "other latents fire"
    np.testing.assert_allclose(sae.decode(codes), output, rtol=1e-4, atol=1e-4)


def test_llama_scope_thresholds_hold_for_latents_times_norms(tmp_path):
    """Left out, as sae-lens does, other latents fire; a missing key has the authors' default."""
    folder = published.llama_scope(tmp_path, 256, jump_relu_threshold=1.8)
    right = load_pretrained(folder).sae.encode(ROWS).l0.mean()
    change(folder / "hyperparams.json", sparsity_include_decoder_norm=False)
    assert load_pretrained(folder).sae.encode(ROWS).l0.mean() != right
    facts = json.loads((folder / "hyperparams.json").read_text())
    del facts["sparsity_include_decoder_norm"]
    (folder / "hyperparams.json").write_text(json.dumps(facts))
    assert load_pretrained(folder).sae.encode(ROWS).l0.mean() == right


@pytest.mark.parametrize("name", ["act_fn", "norm_activation", "apply_decoder_bias_to_pre_encoder"])
def test_llama_scope_keys_that_mean_something_else_in_each_version(tmp_path, name):
    """`apply_decoder_bias_to_pre_encoder` was true where it is missing, and is false since."""
    path = published.llama_scope(tmp_path, 256) / "hyperparams.json"
    whole = json.loads(path.read_text())
    path.write_text(json.dumps({key: value for key, value in whole.items() if key != name}))
    with pytest.raises(ArtifactError, match=f"`{name}` is missing, .* depends on the version .* Add it to a copy"):
        load_pretrained(path.parent)
    path.write_text(json.dumps(whole))
    assert load_pretrained(path.parent).d_sae == 256


def test_llama_scope_width_by_its_factor(tmp_path):
    """Newer versions write no `d_sae`."""
    path = published.llama_scope(tmp_path, 3 * published.D_MODEL, expansion_factor=3) / "hyperparams.json"
    right = load_pretrained(path.parent).sae.reconstruct(ROWS)
    change(path, d_sae=None)
    assert np.array_equal(load_pretrained(path.parent).sae.reconstruct(ROWS), right)
    change(path, expansion_factor=4)
    with pytest.raises(ArtifactError, match=r"\[144, 48\], expected \[192, 48\]"):
        load_pretrained(path.parent)


def test_llama_scope_without_decoder_bias(tmp_path):
    folder = published.llama_scope(tmp_path, 256, use_decoder_bias=False, apply_decoder_bias_to_pre_encoder=True)
    with pytest.raises(ArtifactError, match=r"nothing here uses decoder\.bias"):
        load_pretrained(folder)
    path = folder / "checkpoints" / "final.safetensors"
    save_file({name: tensor for name, tensor in load_file(path).items() if name != "decoder.bias"}, path)
    fires, output = published.authors_llama_scope(folder, ROWS)
    sae = load_pretrained(folder).sae
    codes = sae.encode(ROWS)
    assert np.array_equal(codes.l0, fires.sum(1))
    np.testing.assert_allclose(sae.decode(codes), output, rtol=1e-4, atol=1e-4)


def test_latents_without_a_direction_stay_finite(tmp_path):
    """A dead latent's column may be 0: at unit norm it stays 0."""
    folder = published.llama_scope(tmp_path, 256)
    path = folder / "checkpoints" / "final.safetensors"
    tensors = load_file(path)
    tensors["decoder.weight"][:, 5] = 0
    save_file(tensors, path)
    sae = load_pretrained(folder, rows=ROWS).sae
    W_dec = sae.W_dec
    assert not W_dec[5].any()
    np.testing.assert_allclose(W_dec[np.arange(256) != 5].norm(dim=1), 1, rtol=1e-5)


@pytest.mark.parametrize(
    ("format", "changed", "message"),
    [
        ("llama-scope", {"act_fn": "topk"}, r"`act_fn` is 'topk': only the JumpReLU"),
        ("llama-scope", {"act_fn": "batchtopk"}, r"`act_fn` is 'batchtopk'"),
        ("llama-scope", {"norm_activation": "token-wise"}, r"`norm_activation` is 'token-wise': the scale of a row"),
        ("llama-scope", {"norm_activation": "batch-wise"}, r"`norm_activation` is 'batch-wise'"),
        ("llama-scope", {"use_glu_encoder": True}, r"`use_glu_encoder` is True: a second encoder"),
        ("llama-scope", {"jump_relu_threshold": -0.1}, r"`jump_relu_threshold` is -0.1: negative latents would fire"),
        ("llama-scope", {"sae_type": "crosscoder"}, r"`sae_type` is 'crosscoder'"),
        ("llama-scope", {"shrinkage": 0.9}, r"`shrinkage` is 0.9: nothing here knows.*remove it from a copy"),
        ("llama-scope", {"extra": {"scale": 2}}, r"`extra\.scale` is 2: nothing here knows"),
        ("sparsify", {"activation": "groupmax"}, r"`activation` is 'groupmax': only TopK"),
        ("sparsify", {"signed": True}, r"`signed` is True: the k largest in size"),
        ("sparsify", {"skip_connection": True}, r"`skip_connection` is True: a linear map"),
        ("sparsify", {"embed_skip": True}, r"`embed_skip` is True"),
        ("sparsify", {"gram_lookup": True, "lookup_max_order": 4}, r"`gram_lookup` is True"),
        ("sparsify", {"jitter": 1}, r"`jitter` is 1: nothing here knows"),
        ("gemma-scope-2", {"architecture": "topk"}, r"`architecture` is 'topk': only JumpReLU"),
        ("gemma-scope-2", {"width": 256}, r"W_enc has latents × d_model \[128, 48\], expected \[256, 48\]"),
        ("gemma-scope-2", {"rescale": 2.0}, r"`rescale` is 2.0: nothing here knows"),
    ],
)
def test_refused_by_name(tmp_path, format, changed, message):
    folder = WRITTEN[format](tmp_path, 128)
    load_pretrained(folder)  # accepted as it is
    change(folder / CONFIGURATIONS[format], **changed)
    with pytest.raises(ArtifactError, match=message):
        load_pretrained(folder)


@pytest.mark.parametrize(
    ("format", "changed"),
    [
        ("llama-scope", PUBLISHED | {"use_triton_kernel": True, "shrinkage": None, "extra": {"scale": 0}}),
        (
            "sparsify",
            {"multi_topk": True, "normalize_decoder": False, "lookup_max_order": 4, "jitter": "", "signed": False},
        ),
        (
            "gemma-scope-2",
            {"l0": 150, "model_name": "google/gemma-3-4b-pt", "architecture": "jumprelu", "rescale": None},
        ),
    ],
)
def test_keys_without_effect_change_nothing(tmp_path, format, changed):
    folder = WRITTEN[format](tmp_path, 128)
    before = load_pretrained(folder).sae.reconstruct(ROWS)
    change(folder / CONFIGURATIONS[format], **changed)
    assert np.array_equal(load_pretrained(folder).sae.reconstruct(ROWS), before)


def test_nested_keys_are_known_by_their_path_or_as_a_whole():
    options = (Option("a.b", "read", ""), Option("c", "no effect", ""), Option("d", "refused", "why", (1, [2])))
    check_options({"a": {"b": 5}, "c": {"x": 1}, "d": [2], "e": {}, "f": {"g": ""}}, options, "x.json")
    with pytest.raises(ArtifactError, match=r"x\.json: `a\.c` is 5: nothing here knows"):
        check_options({"a": {"b": 5, "c": 5}}, options, "x.json")
    with pytest.raises(ArtifactError, match=r"`d` is 2: why$"):
        check_options({"d": 2}, options, "x.json")


def test_the_table_of_the_document_is_what_the_command_writes():
    assert document.DOCUMENT.read_text() == document.document(), "run python -m darkmatter.saes.published.document"


def test_keys_under_metadata_are_in_the_table_once():
    options = (Option("a", "read", "x"), Option("metadata.a", "read", "x"), Option("metadata.b", "read", "x"))
    assert document.table({"mine": options}).splitlines()[2:] == ["| mine | `a`, `metadata.b` | read | x |"]


def test_no_key_is_in_a_table_twice():
    for format, options in OPTIONS_OF.items():
        names = [option.name for option in options]
        assert len(set(names)) == len(names), format


def test_keys_of_one_reason_share_a_row():
    options = (Option("a", "read", "x"), Option("b", "refused", "y", ("ok",)), Option("c", "read", "x"))
    assert document.table({"mine": options}).splitlines()[2:] == [
        "| mine | `a`, `c` | read | x |",
        "| mine | `b` | refused, but `ok` | y |",
    ]
