"""Eq. 16 where the attention SAE is on z: through projection and norm it is what attention adds, whatever the type."""

import copy
import dataclasses

import numpy as np
import pytest
import torch
import transformers
from components_case import CONTEXTS, D_MODEL, POSITIONS, SPLIT, files, write_sae
from safetensors.numpy import save_file

from darkmatter.decomposition.shared_moments import prepare
from darkmatter.experiments.components.attention_output import load_attention_output
from darkmatter.experiments.components.compute import SUMS, check_sum, explain, write_targets
from darkmatter.models.activation_files import open_activations, spacing
from darkmatter.models.extract import as_stored
from darkmatter.models.hookpoints import read
from darkmatter.storage.artifacts import ArtifactError, read_arrays, read_json, write_arrays, write_json

D_Z = 8
PARENTS = ("resid_post.0", "attn_z.1", "mlp_out.1")
SIZES = {
    "vocab_size": 50, "hidden_size": D_MODEL, "intermediate_size": 12, "num_hidden_layers": 2, "num_attention_heads": 2,
    "num_key_value_heads": 1, "head_dim": D_Z // 2, "max_position_embeddings": 64, "initializer_range": 0.3,
}  # fmt: skip


@pytest.fixture(scope="module", params=["float32", "bfloat16"])
def case(request, tmp_path_factory):
    """A Gemma 2 in several files, its activations at the parents and at their sum, an identity SAE of each parent."""
    folder = tmp_path_factory.mktemp(request.param)
    torch.manual_seed(0)
    model = transformers.AutoModelForCausalLM.from_config(transformers.Gemma2Config(**SIZES)).eval()
    for name, weight in model.named_parameters():
        if "norm" in name:
            torch.nn.init.normal_(weight, std=0.3)
    model = model.to(getattr(torch, request.param))
    model.save_pretrained(folder, max_shard_size="2KB")
    result = read(model, torch.randint(50, (CONTEXTS, POSITIONS)), ["resid_post.1", "attn_out.1", *PARENTS])
    for name, values in result.items():
        np.save(folder / f"{name}.npy", as_stored(values))
    for name in PARENTS:
        write_identity(folder / name, result[name].float().numpy())
    x = result["resid_post.1"].float().numpy()
    write_sae(folder / "self", x, np.random.default_rng(0))
    (folder / "moments").mkdir()
    prepare(folder / "moments", activations=str(folder / "resid_post.1.npy"), eigen_cutoff=1e-12, **SPLIT)
    return folder, model


def write_identity(folder, x):
    """An SAE with a latent for each dimension, which gives back its input."""
    rows = x.reshape(-1, x.shape[-1])
    width = rows.shape[1]
    index = np.tile(np.arange(width, dtype=np.int32), (len(rows), 1))
    folder.mkdir()
    write_arrays(folder / "codes.npz", {"index": index, "value": rows, "l0": np.full(len(rows), width, np.int32)})
    write_json(folder / "cfg.json", {"d_sae": width, "d_in": width})
    weights = {"W_dec": np.eye(width, dtype=np.float32), "b_dec": np.zeros(width, dtype=np.float32)}
    save_file(weights, folder / "sae_weights.safetensors")


def test_the_map_is_the_models_own(case):
    folder, model = case
    after = load_attention_output(str(folder), "attn_z.1")
    block = copy.deepcopy(model).float().model.layers[1]
    z = torch.from_numpy(np.array(open_activations(folder / "attn_z.1.npy")[0]))
    assert after.d_z == D_Z and after.weight.dtype == torch.float32
    torch.testing.assert_close(after(z), block.post_attention_layernorm(block.self_attn.o_proj(z)))


def test_without_norm_the_map_is_the_projection(tmp_path):
    sizes = SIZES | {"attention_bias": True}
    model = transformers.AutoModelForCausalLM.from_config(transformers.LlamaConfig(**sizes))
    block = model.model.layers[1]
    torch.nn.init.normal_(block.self_attn.o_proj.bias)
    model.save_pretrained(tmp_path)
    after, z = load_attention_output(str(tmp_path), "attn_z.1"), torch.randn(5, D_Z)
    torch.testing.assert_close(after(z), block.self_attn.o_proj(z))
    with pytest.raises(ArtifactError, match=r"has no model.layers.2.self_attn.o_proj.weight"):
        load_attention_output(str(tmp_path), "attn_z.2")


def test_another_norm_is_refused(case, tmp_path):
    _, model = case
    model.save_pretrained(tmp_path)
    write_json(tmp_path / "config.json", read_json(tmp_path / "config.json") | {"model_type": "olmo2"})
    with pytest.raises(ArtifactError, match=r"olmo2 model .* take an SAE of attn_out.1"):
        load_attention_output(str(tmp_path), "attn_z.1")


def test_parents_add_up_through_projection_and_norm(case):
    folder, _ = case
    x, parents = folder / "resid_post.1.npy", [folder / f"{name}.npy" for name in PARENTS]
    after = load_attention_output(str(folder), "attn_z.1")
    check_sum(x, parents, after)
    check_sum(x, [folder / "attn_out.1.npy" if "z" in path.name else path for path in parents])
    others = (
        load_attention_output(str(folder), "attn_z.0"),
        dataclasses.replace(after, gain=None),
        dataclasses.replace(after, gain=after.gain - 1),  # the norm's weight as Llama's would be
    )
    for other in others:
        with pytest.raises(ArtifactError, match="is not the sum of"):
            check_sum(x, parents, other)


def test_identity_saes_of_the_parents_explain_all_that_is_linear(case, tmp_path):
    """The parents then add up to x, of which LinearError is a linear function; raw z does not, behind a norm."""
    folder, _ = case
    sample = {"activations": str(folder / "resid_post.1.npy"), "prepared": str(folder / "moments")}
    sample |= files(folder, "self") | SPLIT
    write_targets(tmp_path, **sample)
    square = read_arrays(tmp_path / "target_sums.npz")["square/token/paper"]
    through = {"attention": {"model": str(folder), "hookpoint": "attn_z.1"}}
    left = []
    for extra in (through, {}):
        regressors = [files(folder, name) | (extra if name == "attn_z.1" else {}) for name in PARENTS]
        explain(tmp_path, regressors, str(tmp_path), 1e-12, **sample)
        residual = read_arrays(tmp_path / SUMS)["residual/token/paper"]
        linear = slice(D_MODEL, 2 * D_MODEL)
        left.append(float(residual[0, :, linear].sum() / square[0, :, linear].sum()))
    rounding = 1e-8 if spacing(open_activations(folder / "attn_z.1.npy")) < 1e-6 else 1e-4
    assert left[0] < rounding and left[1] > 20 * rounding


def test_an_sae_of_something_else_is_refused(case, tmp_path):
    folder, _ = case
    sample = {"activations": str(folder / "resid_post.1.npy"), "prepared": str(folder / "moments")}
    wrong = files(folder, "mlp_out.1") | {"attention": {"model": str(folder), "hookpoint": "attn_z.1"}}
    with pytest.raises(ArtifactError, match=rf"decodes to {D_MODEL} dimensions, the heads side by side are {D_Z}"):
        explain(tmp_path, [wrong], str(tmp_path), 1e-12, **sample, **files(folder, "self"), **SPLIT)
