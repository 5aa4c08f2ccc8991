"""Reconstructions from stored codes, without sae-lens: the decomposition rebuilds every error from them.

A code file holds, per row, the latents that fired and their values; unused slots hold value 0 at latent 0.
"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float, Int
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor
from torch.nn.functional import embedding_bag

from darkmatter.saes.protocol import Codes, Decodes
from darkmatter.storage.artifacts import ArtifactError, read_json


@dataclass(frozen=True)
class Decoder(Decodes):
    """x̂ = Σ value · W_dec[index] + b_dec, in the units of the raw activations."""

    W_dec: Float[Tensor, "latent d_model"]
    b_dec: Float[Tensor, " d_model"]

    @property
    def d_sae(self) -> int:  # type: ignore[override]  # nobody writes it
        return len(self.W_dec)

    @property
    def d_model(self) -> int:  # type: ignore[override]
        return len(self.b_dec)

    def decode(self, codes: Codes) -> Float[np.ndarray, "row d_model"]:
        return self.sum_of(torch.from_numpy(codes.index), torch.from_numpy(codes.value)).numpy()

    def sum_of(self, index: Int[Tensor, "row slot"], value: Float[Tensor, "row slot"]) -> Float[Tensor, "row d_model"]:
        """Sae(x) of each row, float32, where the weights are."""
        if index.shape[1] == 0:
            return self.b_dec.expand(len(index), -1).clone()
        return embedding_bag(index, self.W_dec, per_sample_weights=value, mode="sum") + self.b_dec


def load_decoder(folder: Path) -> Decoder:
    """The decoder of an SAE in sae-lens's format, float32.

    Raises:
        ArtifactError: missing or damaged files, or weights of impossible shape or value.
    """
    config = read_json(folder / "cfg.json")
    path = folder / "sae_weights.safetensors"
    try:
        weights = load_file(path)
    except FileNotFoundError:
        raise ArtifactError(f"{path} does not exist. Run `dvc repro` to make it.") from None
    except (SafetensorError, OSError) as error:
        raise ArtifactError(f"{path} is damaged ({error}). Restore it with `dvc checkout`.") from None
    if missing := {"W_dec", "b_dec"} - weights.keys():
        raise ArtifactError(f"{path} has no {sorted(missing)[0]}, so it is not an SAE of sae-lens")
    W_dec, b_dec = weights["W_dec"].float(), weights["b_dec"].float()
    expected = (config["d_sae"], config["d_in"])
    if tuple(W_dec.shape) != expected or tuple(b_dec.shape) != expected[1:]:
        raise ArtifactError(
            f"{path}: W_dec {list(W_dec.shape)} and b_dec {list(b_dec.shape)} contradict cfg.json, which says "
            f"d_sae = {expected[0]}, d_in = {expected[1]}"
        )
    if not (W_dec.isfinite().all() and b_dec.isfinite().all()):
        raise ArtifactError(f"{path} holds NaN or infinity. Restore it with `dvc checkout`, or train it again.")
    if config.get("rescale_acts_by_decoder_norm"):
        W_dec = W_dec / W_dec.norm(dim=1, keepdim=True)  # such an SAE's values count in units of its rows' norms
    return Decoder(W_dec.contiguous(), b_dec)
