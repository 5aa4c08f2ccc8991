"""The rows of one hookpoint with the reconstructions of one SAE: what every experiment on an SAE's error reads."""

from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Protocol, runtime_checkable

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from darkmatter.decomposition.shared_moments import Contexts, Prepared, read_prepared
from darkmatter.models.activation_files import open_activations
from darkmatter.models.device import usable
from darkmatter.regression.moments import Blocks, make_blocks
from darkmatter.regression.splits import Splits, draw_splits
from darkmatter.saes.reconstructions import open_reconstructions
from darkmatter.storage.artifacts import ArtifactError


@runtime_checkable
class Rebuilt(Protocol):
    """Where Sae(x) comes from: `Reconstructions` of stored codes, or an SAE in memory."""

    def context(self, number: int) -> Float[Tensor, "position d_model"]:
        """Sae(x) of one context, float32 on the CPU."""


@dataclass(frozen=True)
class SaeSample:
    """What the passes read: activations [context, position, d_model], and Sae(x) of the same rows.

    Where contexts differ in length, `x[number]` and `sae` give the rows that there are; positions after them are not
    kept.
    """

    x: Contexts
    sae: Rebuilt
    splits: Splits
    prepared: Prepared

    @cached_property
    def blocks(self) -> Blocks:
        return make_blocks(self.splits)

    def context(self, number: int) -> tuple[Tensor, Tensor]:
        """(x, Sae(x)) of one context, [position, d_model], in the dtype of the products, where the moments are."""
        sae, x = self.sae.context(number), torch.from_numpy(np.array(self.x[number]))
        device, dtype = self.prepared.device, self.prepared.products
        return x.to(device, dtype), sae.to(device, dtype)

    def with_target(self, number: int) -> tuple[Tensor, Tensor, Tensor]:
        """(x, what Sae(x) is to equal, Sae(x)) of one context: of an SAE the second is x."""
        x, sae = self.context(number)
        return x, x, sae


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
        prepared: folder written by `shared_moments.prepare` for the same activations and splits.
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
    rebuilt = open_reconstructions(codes, sae, contexts, positions)
    if (result := rebuilt.decoder.d_model) != d_model:
        raise ArtifactError(f"{sae} decodes to {result} dimensions, {activations} has {d_model}")
    splits = draw_splits(contexts, positions, fit_share, folds, split_seed)
    shared = read_prepared(Path(prepared), splits, place)
    return SaeSample(x, rebuilt, replace(splits, kept=shared.kept), shared)
