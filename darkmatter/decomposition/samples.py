"""The rows of one hookpoint with the reconstructions of one SAE: what every experiment on an SAE's error reads."""

from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Protocol, runtime_checkable

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from darkmatter.decomposition.shared_moments import Contexts, Prepared, read_prepared
from darkmatter.models.activation_files import Activations, open_activations
from darkmatter.models.device import usable
from darkmatter.regression.moments import Blocks, make_blocks
from darkmatter.regression.splits import Splits, draw_splits
from darkmatter.saes.decoder import Decoder
from darkmatter.saes.open import open_decoder
from darkmatter.saes.published.streamed import MappedDecoder
from darkmatter.storage.artifacts import ArtifactError, read_arrays


@runtime_checkable
class Decomposable(Protocol):
    """What the passes read: a `SaeSample`, or rows whose Sae(x) comes from elsewhere.

    Where contexts differ in length, `x[number]` and `context` give the rows that there are.
    """

    @property
    def x(self) -> Contexts: ...

    @property
    def splits(self) -> Splits: ...

    @property
    def blocks(self) -> Blocks: ...

    @property
    def prepared(self) -> Prepared: ...

    def context(self, number: int) -> tuple[Tensor, Tensor]: ...


@dataclass(frozen=True)
class SaeSample:
    """Activations [context, position, d_model], and the codes and decoder of one SAE on the same rows.

    Attributes:
        index, value: codes [context, position, slot]; unused slots hold value 0 at latent 0.
        l0: latents that fired, [context, position].
    """

    x: Activations
    index: Int[np.ndarray, "context position slot"]
    value: Float[np.ndarray, "context position slot"]
    l0: Int[np.ndarray, "context position"]
    decoder: Decoder | MappedDecoder
    splits: Splits
    prepared: Prepared

    @cached_property
    def blocks(self) -> Blocks:
        return make_blocks(self.splits)

    def context(self, number: int) -> tuple[Tensor, Tensor]:
        """(x, Sae(x)) of one context, [position, d_model], in the dtype of the products, where the moments are.

        Sae(x) is rebuilt on the CPU: a wide decoder is mapped from its file.
        """
        sae = self.decoder.decode(torch.from_numpy(self.index[number]), torch.from_numpy(self.value[number]))
        x = torch.from_numpy(np.array(self.x[number]))
        device, dtype = self.prepared.device, self.prepared.products
        return x.to(device, dtype), sae.to(device, dtype)


def open_sample(
    activations: str,
    prepared: str,
    codes: str,
    sae: str,
    fit_share: float,
    folds: int,
    split_seed: int,
    device: str = "cpu",
) -> SaeSample:
    """Open the files of one SAE at one hookpoint.

    Args:
        activations: .npy, float32 [context, position, d_model].
        prepared: folder written by `activation_moments.prepare` for the same activations and splits.
        codes: .npz with `index`, `value` [row, slot] and `l0` [row].
        sae: folder of the SAE, of which the decoder is read.
        device: where the rows of each context go.

    Raises:
        ParamsError: there is no such device here.
        ArtifactError: codes, decoder and activations do not fit together.
    """
    place = usable(device)
    x = open_activations(Path(activations))
    contexts, positions, d_model = x.shape
    arrays = read_arrays(Path(codes))
    if len(arrays["index"]) != contexts * positions:
        raise ArtifactError(f"{codes} has {len(arrays['index'])} rows, {activations} {contexts * positions}")
    decoder = open_decoder(Path(sae))
    if decoder.shape[1] != d_model:
        raise ArtifactError(f"{sae} decodes to {decoder.shape[1]} dimensions, {activations} has {d_model}")
    splits = draw_splits(contexts, positions, fit_share, folds, split_seed)
    shared = read_prepared(Path(prepared), splits, place)
    return SaeSample(
        x,
        arrays["index"].reshape(contexts, positions, -1),
        arrays["value"].reshape(contexts, positions, -1),
        arrays["l0"].reshape(contexts, positions),
        decoder,
        replace(splits, kept=shared.kept),
        shared,
    )
