"""Any SAE whose `encode` gives [row, d_sae], most of it zero: sae-lens's own objects, or two functions in memory."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from darkmatter.params.given import given
from darkmatter.saes.codes import active, blocks, packed
from darkmatter.saes.decoder import Decoder
from darkmatter.saes.protocol import Codes, Part
from darkmatter.storage.artifacts import ArtifactError

Function = Callable[..., Any]


@dataclass(frozen=True)
class DenseSae:
    """An SAE as `protocol.Sae`, of which `decode` may depend on more than the codes.

    Attributes:
        device, dtype: what the SAE computes in; None where it does not say.
        decoder: W_dec and b_dec where they do what `decode_with` does; only then are codes enough, and `decode` works.
        where: named in errors.
    """

    encode_with: Function
    decode_with: Function
    d_sae: int
    d_model: int
    device: torch.device | None = None
    dtype: torch.dtype | None = None
    decoder: Decoder | None = None
    where: str = "the SAE"

    def acts(self, rows: Part) -> Float[Tensor, "row d_sae"]:
        return on_cpu(self.encode_with(self.placed(rows)), "encode")

    def run(self, rows: Part) -> tuple[Tensor, Tensor]:
        """(activations, Sae(x)), `decode` right after `encode` of the same rows: some SAEs keep a scale in between."""
        acts = self.encode_with(self.placed(rows))
        return on_cpu(acts, "encode"), on_cpu(self.decode_with(acts), "decode")

    def placed(self, rows: Part) -> Tensor:
        return torch.from_numpy(np.array(rows)).to(self.device, self.dtype)  # a copy: a map is read-only

    @torch.no_grad()
    def encode(self, rows: Float[np.ndarray, "row d_model"]) -> Codes:
        return packed([active(self.acts(block), self.where) for block in blocks(rows, self.d_sae)])

    def decode(self, codes: Codes) -> Float[np.ndarray, "row d_out"]:
        return given(self.decoder, f"a decoder of {self.where}").decode(codes)

    @torch.no_grad()
    def rebuild(self, rows: Float[np.ndarray, "row d_model"]) -> tuple[Codes, Float[np.ndarray, "row d_out"]]:
        """Encode the rows and decode them again: codes and reconstructions; d_out differs for a transcoder alone.

        Raises:
            ArtifactError: rows of another width, or NaN or infinity.
        """
        if rows.shape[1] != self.d_model or not np.isfinite(rows).all():
            raise ArtifactError(
                f"{self.where}: rows of shape {list(rows.shape)} or not finite, expected [row, {self.d_model}]"
            )
        parts, outputs = [], []
        for block in blocks(rows, self.d_sae):
            acts, output = self.run(block)
            parts.append(active(acts, self.where))
            outputs.append(output.numpy())
        return packed(parts), np.concatenate(outputs)


def on_cpu(values: Any, what: str) -> Tensor:
    if isinstance(values, Tensor):
        values = values.detach().float().cpu()
        return values if values.layout is torch.strided else values.to_dense()
    if isinstance(values, np.ndarray):
        return torch.from_numpy(np.ascontiguousarray(values)).float()
    raise ArtifactError(
        f"{what} returned {type(values).__name__}, not one tensor; wrap the SAE: decompose(x, (encode, decode)) takes "
        "any two functions"
    )
