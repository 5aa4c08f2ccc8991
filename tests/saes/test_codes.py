"""Codes: they rebuild what sae-lens reconstructs, for each architecture, and impostors are refused."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from sae_lens import SAE, JumpReLUSAE, JumpReLUSAEConfig, TopKSAE, TopKSAEConfig
from sae_lens.saes.sae import SAEMetadata

from darkmatter.saes.decoder import load_decoder
from darkmatter.saes.open import encode_sae
from darkmatter.storage.artifacts import ArtifactError, read_arrays

CONTEXTS, POSITIONS, D_MODEL, D_SAE, K = 3, 50, 8, 32, 4


def make_sae(architecture: str, **options: Any) -> SAE:
    """An SAE that explains the activations of `activations()`: near-orthogonal pairs ±e_i as latents."""
    torch.manual_seed(0)
    config = {"d_in": D_MODEL, "d_sae": D_SAE} | options
    if architecture == "topk":
        sae = TopKSAE(TopKSAEConfig(k=K, **config))
    else:
        sae = JumpReLUSAE(JumpReLUSAEConfig(**config))
        sae.threshold.data.fill_(1.0)
    basis = torch.eye(D_MODEL)
    directions = torch.cat([basis, -basis, torch.nn.functional.normalize(torch.randn(16, D_MODEL), dim=1) * 0.01])
    sae.W_dec.data = directions.clone()
    sae.W_enc.data = directions.T.contiguous()
    sae.b_dec.data = torch.linspace(-1, 1, D_MODEL)
    return sae


def activations(path: Path, scale: float = 3.0) -> np.ndarray:
    x = np.random.default_rng(0).normal(size=(CONTEXTS, POSITIONS, D_MODEL)).astype(np.float32) * np.float32(scale)
    np.save(path, x)
    return x


def encode(folder: Path, sae: SAE, architecture: str, **changed: Any) -> dict[str, np.ndarray]:
    sae.save_model(folder / "sae")
    arguments = {"activations": str(folder / "x.npy"), "d_sae": D_SAE, "k": K} | changed
    (folder / "codes").mkdir()
    encode_sae(folder / "codes", str(folder / "sae"), architecture=architecture, **arguments)
    return read_arrays(folder / "codes" / "codes.npz")


@pytest.mark.parametrize(
    ("architecture", "options"),
    [
        ("topk", {}),
        ("topk", {"apply_b_dec_to_input": False}),
        ("topk", {"rescale_acts_by_decoder_norm": True}),
        ("jumprelu", {}),
        ("jumprelu", {"reshape_activations": "hook_z", "metadata": SAEMetadata(hook_name="blocks.0.attn.hook_z")}),
    ],
)
def test_codes_rebuild_what_sae_lens_reconstructs(tmp_path: Path, architecture: str, options: dict[str, Any]) -> None:
    x = activations(tmp_path / "x.npy").reshape(-1, D_MODEL)
    sae = make_sae(architecture, **options)
    codes = encode(tmp_path, sae, architecture)
    sae.turn_off_forward_pass_hook_z_reshaping()
    with torch.no_grad():
        acts = sae.encode(torch.from_numpy(x))
        expected = sae.decode(acts)
    assert {name: array.dtype.name for name, array in codes.items()} == {
        "index": "int32",
        "value": "float32",
        "l0": "int32",
    }
    assert np.array_equal(codes["l0"], acts.count_nonzero(dim=1))
    assert codes["index"].shape == (CONTEXTS * POSITIONS, K if architecture == "topk" else codes["l0"].max())
    unused = np.arange(codes["index"].shape[1]) >= codes["l0"][:, None]
    assert not codes["index"][unused].any()
    assert not codes["value"][unused].any()
    index, value = (torch.from_numpy(codes[name]) for name in ("index", "value"))
    dense = torch.zeros_like(acts).scatter_add_(1, index.long(), value)
    assert torch.equal(dense, acts)
    rebuilt = load_decoder(tmp_path / "sae").sum_of(index, value)
    torch.testing.assert_close(rebuilt, expected, rtol=1e-5, atol=1e-5)


def test_blocks_of_rows_do_not_change_the_codes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    activations(tmp_path / "x.npy")
    whole = encode(tmp_path, make_sae("jumprelu"), "jumprelu")
    monkeypatch.setattr("darkmatter.saes.codes.DENSE_ELEMENTS", 7 * D_SAE)
    (tmp_path / "codes").rename(tmp_path / "whole")
    in_blocks = encode(tmp_path, make_sae("jumprelu"), "jumprelu")
    assert np.array_equal(whole["index"], in_blocks["index"])
    np.testing.assert_allclose(whole["value"], in_blocks["value"], rtol=1e-5)


def refuse(folder: Path, sae: SAE, words: str, architecture: str = "topk", **changed: Any) -> None:
    with pytest.raises(ArtifactError, match=words):
        encode(folder, sae, architecture, **changed)


def test_another_architecture_is_refused(tmp_path: Path) -> None:
    activations(tmp_path / "x.npy")
    refuse(tmp_path, make_sae("jumprelu"), "loaded as jumprelu, expected topk")


@pytest.mark.parametrize("k", [K - 1, 5 * K])
def test_an_l0_that_contradicts_k_is_refused(tmp_path: Path, k: int) -> None:
    activations(tmp_path / "x.npy")
    refuse(tmp_path, make_sae("topk"), "measured L0", k=k)


def test_activations_of_another_width_are_refused(tmp_path: Path) -> None:
    np.save(tmp_path / "x.npy", np.ones((2, 3, D_MODEL + 1), np.float32))
    refuse(tmp_path, make_sae("topk"), "d_model 9")


def test_activations_of_another_model_are_refused(tmp_path: Path) -> None:
    """On rows it was not made for, an SAE is worse than their mean."""
    activations(tmp_path / "x.npy", scale=0.05)
    refuse(tmp_path, make_sae("topk"), "worse than their mean")


def test_a_decoder_that_is_not_linear_in_the_codes_is_refused(tmp_path: Path) -> None:
    activations(tmp_path / "x.npy")
    refuse(tmp_path, make_sae("topk", normalize_activations="layer_norm"), "not linear in the codes")


def test_nan_weights_are_refused(tmp_path: Path) -> None:
    activations(tmp_path / "x.npy")
    sae = make_sae("topk")
    sae.W_enc.data[0, 0] = torch.nan
    refuse(tmp_path, sae, "W_enc holds NaN|cannot load")


def test_truncated_weights_are_refused(tmp_path: Path) -> None:
    make_sae("topk").save_model(tmp_path)
    load_decoder(tmp_path)
    path = tmp_path / "sae_weights.safetensors"
    path.write_bytes(path.read_bytes()[:-10])
    with pytest.raises(ArtifactError, match="damaged"):
        load_decoder(tmp_path)


def test_weights_that_contradict_their_config_are_refused(tmp_path: Path) -> None:
    make_sae("topk").save_model(tmp_path)
    config = json.loads((tmp_path / "cfg.json").read_text())
    (tmp_path / "cfg.json").write_text(json.dumps(config | {"d_sae": D_SAE + 1}))
    with pytest.raises(ArtifactError, match="contradict"):
        load_decoder(tmp_path)


def test_rows_where_nothing_fires_are_the_bias(tmp_path: Path) -> None:
    sae = make_sae("topk")
    sae.save_model(tmp_path)
    decoder = load_decoder(tmp_path)
    for width in (0, 3):
        nothing = torch.zeros(2, width, dtype=torch.int32), torch.zeros(2, width)
        assert torch.equal(decoder.sum_of(*nothing), sae.b_dec.detach().expand(2, -1))
