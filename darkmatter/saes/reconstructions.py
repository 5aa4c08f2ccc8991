"""What an SAE makes of every row, rebuilt from its codes: for regressions on Sae(x) that need no activations."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from darkmatter.saes.decoder import Decoder
from darkmatter.saes.open import open_decoder
from darkmatter.saes.published.streamed import MappedDecoder
from darkmatter.storage.artifacts import ArtifactError, read_arrays


@dataclass(frozen=True)
class Reconstructions:
    """Codes [context, position, slot] and decoder of one SAE; unused slots hold value 0 at latent 0."""

    index: Int[np.ndarray, "context position slot"]
    value: Float[np.ndarray, "context position slot"]
    decoder: Decoder | MappedDecoder

    def context(self, number: int) -> Float[Tensor, "position d_model"]:
        """Sae(x) of one context, float32."""
        return self.decoder.decode(torch.from_numpy(self.index[number]), torch.from_numpy(self.value[number]))


def open_reconstructions(codes: str, sae: str, contexts: int, positions: int) -> Reconstructions:
    """Open the codes of one SAE on these rows.

    Args:
        codes: .npz with `index`, `value` [row, slot].
        sae: folder of the SAE, of which the decoder is read.

    Raises:
        ArtifactError: the codes are those of other rows, or of another SAE.
    """
    arrays = read_arrays(Path(codes))
    decoder = open_decoder(Path(sae))
    if len(arrays["index"]) != contexts * positions:
        raise ArtifactError(
            f"{codes} has {len(arrays['index'])} rows, the activations {contexts * positions}; run `dvc repro codes`"
        )
    if arrays["index"].max(initial=0) >= decoder.shape[0]:
        raise ArtifactError(f"{codes} names latents that {sae} does not have; run `dvc repro codes`")
    index, value = (arrays[name].reshape(contexts, positions, -1) for name in ("index", "value"))
    return Reconstructions(index, value, decoder)
