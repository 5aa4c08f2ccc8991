"""Published formats give what sae-lens's own classes give, in blocks of latents as well, and nothing is read askew."""

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import published_saes as published
import pytest
import torch
from huggingface_hub import constants
from sae_lens import (
    SAE,
    GatedSAE,
    GatedSAEConfig,
    JumpReLUSAE,
    JumpReLUSAEConfig,
    StandardSAE,
    StandardSAEConfig,
    TopKSAE,
    TopKSAEConfig,
)
from sae_lens.loading import pretrained_sae_loaders as loaders
from safetensors.numpy import load_file, save_file

from darkmatter.saes.published.gate import Gate
from darkmatter.saes.published.load import Pretrained, load_pretrained
from darkmatter.saes.published.streamed import Codes
from darkmatter.storage.artifacts import ArtifactError

ROWS = published.rows()
SHAPE = {"d_in": published.D_MODEL, "dtype": "float32"}
SMALL_BLOCK = 4 * published.D_MODEL * 1000  # 1000 latents: blocks that do not divide the width


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[Path, str], None]:
    """Make a folder of a repository the only content of an offline hub cache."""
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)

    def put(source: Path, repo: str) -> None:
        place = tmp_path / "hub" / f"models--{repo.replace('/', '--')}"
        (place / "refs").mkdir(parents=True)
        (place / "refs" / "main").write_text("a" * 40)
        (place / "snapshots").mkdir()
        (place / "snapshots" / ("a" * 40)).symlink_to(source)

    return put


def state(cfg: dict, weights: dict[str, torch.Tensor]) -> SAE:
    """As `SAE.from_pretrained` goes on after a loader."""
    cfg = loaders.handle_config_defaulting(cfg)
    sae = SAE.get_sae_class_for_architecture(cfg["architecture"]).from_dict(cfg)
    sae.load_state_dict(weights)
    return sae


def assert_same(loaded: Pretrained, sae: SAE, codes: Codes | None = None) -> None:
    with torch.no_grad():
        acts = sae.encode(torch.from_numpy(ROWS))
        output = sae.decode(acts).numpy()
    codes = codes or loaded.sae.encode(ROWS)
    dense = np.zeros(acts.shape, dtype=np.float32)
    used = np.arange(codes.index.shape[1]) < codes.l0[:, None]
    row = np.broadcast_to(np.arange(len(ROWS))[:, None], used.shape)
    dense[row[used], codes.index[used]] = codes.value[used]
    assert [array.dtype.name for array in codes] == ["int32", "float32", "int32"]
    assert np.array_equal(dense != 0, acts.numpy() != 0), "other latents fire"
    assert not codes.index[~used].any()
    assert not codes.value[~used].any()
    assert all(np.all(np.diff(index[:l0]) > 0) for index, l0 in zip(codes.index, codes.l0, strict=True))
    np.testing.assert_allclose(dense, acts.numpy(), rtol=1e-5, atol=1e-5)
    np.testing.assert_allclose(loaded.sae.decode(codes), output, rtol=1e-5, atol=2e-5)


@pytest.mark.parametrize("block", [SMALL_BLOCK, 64 << 20])
@pytest.mark.parametrize("compressed", [False, True])
def test_gemma_scope(tmp_path: Path, cache, block: int, compressed: bool) -> None:
    published.gemma_scope(tmp_path, compressed=compressed)
    cache(tmp_path / published.GEMMA[0], published.GEMMA[0])
    cfg, weights, _ = loaders.gemma_2_sae_huggingface_loader(*published.GEMMA, "cpu", False, SHAPE)
    loaded = load_pretrained("gemma-scope-2b-pt-res/layer_12/width_16k/average_l0_41", rows=ROWS, block_bytes=block)
    assert (loaded.architecture, loaded.hookpoint, loaded.nominal_l0) == ("jumprelu", "resid_post.12", 41)
    assert (loaded.d_model, loaded.d_sae, loaded.source["revision"]) == (published.D_MODEL, 16384, "a" * 40)
    assert_same(loaded, state(cfg, weights))


@pytest.mark.parametrize("save", [np.savez, np.savez_compressed])
def test_weights_in_double_precision_are_rounded_once(tmp_path: Path, save: Callable) -> None:
    """As a conversion in NumPy leaves them; float32 ones made of them are the same SAE."""
    folder = published.gemma_scope(tmp_path, 128)
    right = load_pretrained(folder).sae.reconstruct(ROWS)
    with np.load(folder / "params.npz") as archive:
        double = {name: archive[name].astype(np.float64) for name in archive.files}
    save(folder / "params.npz", **double)
    loaded = load_pretrained(folder)
    assert loaded.sae.weights.W_enc.dtype == "float64"
    assert np.array_equal(loaded.sae.reconstruct(ROWS), right)
    (tmp_path / "two").mkdir()
    save_file({name.replace("W_", "w_"): array for name, array in double.items()}, tmp_path / "two/params.safetensors")
    assert np.array_equal(load_pretrained(tmp_path / "two").sae.reconstruct(ROWS), right)


@pytest.mark.parametrize("block", [SMALL_BLOCK, 64 << 20])
@pytest.mark.parametrize("by_norm", [True, False])
def test_llama_scope_with_its_norm_factor_folded(tmp_path: Path, cache, block: int, by_norm: bool) -> None:
    """sae-lens leaves `sparsity_include_decoder_norm` out, so only the authors' formula in float64 is a reference."""
    folder = published.llama_scope(tmp_path, by_norm=by_norm)
    cache(tmp_path / published.LLAMA[0], published.LLAMA[0])
    loaded = load_pretrained("llama_scope_lxr_8x/l15r_8x", rows=ROWS, block_bytes=block)
    assert (loaded.architecture, loaded.hookpoint, loaded.nominal_l0) == ("jumprelu", "resid_post.15", 50)
    assert 30 < loaded.measured.l0 < 42
    fires, output = published.authors_llama_scope(folder, ROWS)
    codes = loaded.sae.encode(ROWS)
    assert np.array_equal(codes.l0, fires.sum(1)), "other latents fire"
    np.testing.assert_allclose(loaded.sae.decode(codes), output, rtol=1e-4, atol=1e-4)


def test_gemma_scope_2_attention_reads_heads_side_by_side(tmp_path: Path, cache) -> None:
    folder = published.gemma_scope_2(tmp_path)
    cache(tmp_path / published.GEMMA_2[0], published.GEMMA_2[0])
    loaded = load_pretrained("gemma-scope-2-270m-pt-att/layer_9_width_16k_l0_small", rows=ROWS)
    weights = {
        name.replace("w_", "W_"): torch.from_numpy(x) for name, x in load_file(folder / "params.safetensors").items()
    }
    cfg = {"architecture": "jumprelu", "d_sae": 16384, "apply_b_dec_to_input": False, "sae_lens_version": "6.0.0"}
    sae = state({**SHAPE, **cfg, "metadata": {}, "normalize_activations": "none"}, weights)
    assert loaded.hookpoint == "attn_z.9"
    assert_same(loaded, sae)
    assert_same(loaded, sae, loaded.sae.encode(ROWS.reshape(len(ROWS), 4, -1)))
    with pytest.raises(ArtifactError, match=r"rows of shape \[200, 4, 6\], expected \[row, 48\]"):
        loaded.sae.encode(ROWS.reshape(len(ROWS), 8, -1)[:, :4])


@pytest.mark.parametrize("block", [4 * published.D_MODEL * 7, 64 << 20])
@pytest.mark.parametrize("options", [{}, {"rescale_acts_by_decoder_norm": True}, {"apply_b_dec_to_input": False}])
def test_topk_of_sae_lens(tmp_path: Path, block: int, options: dict) -> None:
    torch.manual_seed(0)
    sae = TopKSAE(TopKSAEConfig(k=8, d_in=published.D_MODEL, d_sae=500, **options))
    sae.W_dec.data *= torch.rand(500, 1) + 0.5
    sae.b_enc.data = torch.randn(500) / 10
    sae.b_dec.data = torch.randn(published.D_MODEL)
    sae.cfg.metadata.sae_lens_version = "6.54.12"
    sae.save_model(tmp_path / "sae")
    loaded = load_pretrained(tmp_path / "sae", block_bytes=block)
    assert (loaded.architecture, loaded.nominal_l0, loaded.sae.encode(ROWS).index.shape) == ("topk", 8, (200, 8))
    assert_same(loaded, sae)


def test_jumprelu_of_sae_lens_whose_thresholds_are_negative_too(tmp_path: Path) -> None:
    torch.manual_seed(0)
    sae = JumpReLUSAE(JumpReLUSAEConfig(d_in=published.D_MODEL, d_sae=200))
    sae.threshold.data = torch.randn(200)
    sae.cfg.metadata.sae_lens_version = "6.54.12"
    sae.save_model(tmp_path / "sae")
    assert_same(load_pretrained(tmp_path / "sae", block_bytes=4 * published.D_MODEL * 30), sae)


def test_topk_keeps_fewer_when_fewer_are_positive(tmp_path: Path) -> None:
    sae = TopKSAE(TopKSAEConfig(k=60, d_in=published.D_MODEL, d_sae=64))
    sae.cfg.metadata.sae_lens_version = "6.54.12"
    sae.save_model(tmp_path / "sae")
    loaded = load_pretrained(tmp_path / "sae", block_bytes=4 * published.D_MODEL * 10)
    assert loaded.sae.encode(ROWS).l0.max() < 60
    assert_same(loaded, sae)


def test_old_topk_that_calls_itself_standard_is_topk(tmp_path: Path) -> None:
    old = {"architecture": "standard", "activation_fn_str": "topk", "activation_fn_kwargs": {"k": 8}, "metadata": {}}
    folder = published.sae_lens(tmp_path / "sae", **old, hook_point="blocks.3.hook_mlp_out")
    loaded = load_pretrained(folder, rows=ROWS)
    assert (loaded.architecture, loaded.nominal_l0, loaded.hookpoint) == ("topk", 8, "mlp_out.3")
    config = json.loads((folder / "cfg.json").read_text()) | {"metadata": {"sae_lens_version": "6.0.0"}}
    (folder / "cfg.json").write_text(json.dumps(config))  # now sae-lens itself takes it for ReLU
    with pytest.raises(ArtifactError, match=r"`activation_fn` is 'topk' and architecture 'standard' .* sae-lens 6"):
        load_pretrained(folder)


def test_relu_and_gated_sae_lens(tmp_path: Path) -> None:
    torch.manual_seed(0)
    relu = StandardSAE(StandardSAEConfig(d_in=published.D_MODEL, d_sae=100))
    gated = GatedSAE(GatedSAEConfig(d_in=published.D_MODEL, d_sae=100))
    for sae in (relu, gated):
        sae.cfg.metadata.sae_lens_version = "6.54.12"
        sae.save_model(tmp_path / sae.cfg.architecture())
    assert_same(load_pretrained(tmp_path / "standard", block_bytes=4 * published.D_MODEL * 30), relu)
    loaded = load_pretrained(tmp_path / "gated", rows=ROWS, gate=Gate(floor=-100))
    acts = loaded.sae.encode(torch.from_numpy(ROWS))
    assert torch.equal(acts, gated.encode(torch.from_numpy(ROWS)))
    assert (loaded.architecture, loaded.measured.l0) == ("gated", acts.count_nonzero().item() / len(ROWS))


def test_sparsify_is_read_as_its_own_package_computes_it(tmp_path: Path) -> None:
    """x − b_dec enters the encoder, ReLU, the k largest, times W_dec [latent, d_model], plus b_dec."""
    folder = published.sparsify(tmp_path)
    weights = {name: torch.from_numpy(array) for name, array in load_file(folder / "sae.safetensors").items()}
    pre = (torch.from_numpy(ROWS) - weights["b_dec"]) @ weights["encoder.weight"].T + weights["encoder.bias"]
    top = pre.relu().topk(8, dim=1)
    expected = torch.zeros_like(pre).scatter(1, top.indices, top.values) @ weights["W_dec"] + weights["b_dec"]
    loaded = load_pretrained(folder, rows=ROWS, block_bytes=4 * published.D_MODEL * 10)
    assert (loaded.architecture, loaded.hookpoint, loaded.nominal_l0) == ("topk", "resid_post.12", 8)
    np.testing.assert_allclose(loaded.sae.reconstruct(ROWS), expected.numpy(), rtol=1e-5, atol=1e-5)
    cfg, state_dict = loaders.sparsify_disk_loader(folder, cfg_overrides={"dtype": "float32"})
    assert state_dict["W_dec"].shape == (published.D_MODEL, 128), "sae-lens reads it right now: its class will do"
    assert not cfg["apply_b_dec_to_input"]


def test_sparsify_stored_transposed_is_refused(tmp_path: Path) -> None:
    folder = published.sparsify(tmp_path, transposed=True)
    with pytest.raises(
        ArtifactError, match=r"W_dec has latents × d_model \[48, 128\], expected \[128, 48\], so it is stored"
    ):
        load_pretrained(folder)


def test_square_decoder_stored_transposed_is_refused_on_rows(tmp_path: Path) -> None:
    """Shapes cannot tell; explained variance can."""
    sae = published.sae_lens(tmp_path / "sae", 2 * published.D_MODEL) / "sae_weights.safetensors"
    weights = {name: array[:, :48] if name == "W_enc" else array[:48] for name, array in load_file(sae).items()}
    config = json.loads((sae.parent / "cfg.json").read_text()) | {"d_sae": 48}
    (sae.parent / "cfg.json").write_text(json.dumps(config))
    save_file({name: np.ascontiguousarray(array) for name, array in weights.items()}, sae)
    upright = load_pretrained(sae.parent, rows=ROWS)
    save_file(weights | {"W_dec": np.ascontiguousarray(weights["W_dec"].T)}, sae)
    with pytest.raises(ArtifactError, match=r"explains .* expected at least 0\.3; .*transposed"):
        load_pretrained(sae.parent, rows=ROWS)
    assert upright.measured.explained_variance > 0.3
