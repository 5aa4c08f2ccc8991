"""SAEs of architectures that only sae-lens computes, with its own classes and whole in memory."""

from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from darkmatter.artifacts import ArtifactError, read_json
from darkmatter.codes import Codes, encode_rows, load_sae
from darkmatter.decode import load_decoder

ARCHITECTURES = ("gated", "matching_pursuit", "abstopk")  # their decoders are linear in the codes


class DenseSae:
    """The interface of `StreamedSae` around an SAE of sae-lens."""

    def __init__(self, folder: Path, where: str) -> None:
        config = read_json(folder / "cfg.json")
        self.d_model, self.d_sae, self.where = config["d_in"], config["d_sae"], where
        self.sae = load_sae(folder, config["architecture"], self.d_sae, self.d_model)
        self.decoder = load_decoder(folder)

    @torch.no_grad()
    def encode(self, rows: Float[np.ndarray, "row d_model"] | Tensor) -> Codes:
        x = np.asarray(rows, dtype=np.float32).reshape(len(rows), -1)
        if x.shape[1] != self.d_model or not np.isfinite(x).all():
            raise ArtifactError(
                f"{self.where}: rows of shape {list(x.shape)} or not finite, expected [row, {self.d_model}]"
            )
        return encode_rows(self.sae, x, self.where)

    @torch.no_grad()
    def decode(self, codes: Codes) -> Float[np.ndarray, "row d_model"]:
        return self.decoder.decode(torch.from_numpy(codes.index), torch.from_numpy(codes.value)).numpy()

    def reconstruct(self, rows: Float[np.ndarray, "row d_model"] | Tensor) -> Float[np.ndarray, "row d_model"]:
        return self.decode(self.encode(rows))
