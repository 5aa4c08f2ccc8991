"""What an SAE is to everything here, wherever its weights are: in memory, in a file read in blocks, in sae-lens.

Arrays come in and go out as NumPy; an SAE that computes on a device brings them there and back. Rows and Sae(x) are in
the units of the raw activations.
"""

from typing import NamedTuple, Protocol, runtime_checkable

import numpy as np
from jaxtyping import Float, Int
from torch import Tensor

from darkmatter.models.activation_files import Bfloat16
from darkmatter.models.shards import Shards

Rows = Float[np.ndarray, "row d_model"] | Bfloat16 | Shards  # of activations, one context after the other
Part = Float[np.ndarray, "part d_model"] | Bfloat16 | Shards  # some of them


class Codes(NamedTuple):
    """Active latents of each row, ascending; unused slots hold index 0, value 0."""

    index: Int[np.ndarray, "row slot"]  # type: ignore[assignment]  # int32; a tuple has a method of that name
    value: Float[np.ndarray, "row slot"]  # float32
    l0: Int[np.ndarray, " row"]  # int32

    @classmethod
    def of(cls, index: Int[np.ndarray, "row slot"], value: Float[np.ndarray, "row slot"]) -> "Codes":
        """Codes of which index and value are known."""
        return cls(index, value, np.count_nonzero(value, axis=1).astype(np.int32))


@runtime_checkable
class Decodes(Protocol):
    """Of an SAE what stored codes ask for.

    Attributes:
        W_dec: float32 on the CPU, all latents at once: what a value of 1 of each adds to Sae(x).
        b_dec: float32 on the CPU.
    """

    d_sae: int
    d_model: int
    W_dec: Float[Tensor, "latent d_model"]
    b_dec: Float[Tensor, " d_model"]

    def decode(self, codes: Codes) -> Float[np.ndarray, "row d_model"]:
        """Sae(x) of each row, float32; of the codes it reads index and value."""


@runtime_checkable
class Sae(Decodes, Protocol):
    """An SAE whose Sae(x) is Σ value · W_dec[index] + b_dec."""

    def encode(self, rows: Rows) -> Codes:
        """The latents that fire on each row, and their values.

        Args:
            rows: [row, d_model], float32, or whatever reads as that.

        Raises:
            ArtifactError: rows of another width, or NaN or infinity in them or in what comes out.
        """

    def rebuild(self, rows: Rows) -> tuple[Codes, Float[np.ndarray, "row d_model"]]:
        """The codes of some rows, and Sae(x)."""
        codes = self.encode(rows)
        return codes, self.decode(codes)
