"""Codes of gradient pursuit in files: the same rows and the same format as those the SAE's own encoder leaves."""

from collections.abc import Iterable
from pathlib import Path

import numpy as np
import torch

from darkmatter.experiments.pursuit.algorithm import VARIANTS, Dictionary, pursue
from darkmatter.models.activation_files import create_activations, open_activations, stored
from darkmatter.models.device import usable
from darkmatter.saes.open import open_decoder
from darkmatter.storage.artifacts import ArtifactError, read_arrays, write_arrays
from darkmatter.storage.replacing import replacing

CODES = "codes.npz"
OWN = "own"  # the SAE's own codes, on the same rows
CONTEXTS_PER_UNIT = 10  # small enough that two processes end together, large enough that Gram matrices cost nothing


def write_first_contexts(path: Path, activations: Path, contexts: int) -> tuple[int, int]:
    """Copy the first contexts of `activations` to `path`, number type and all; returns their positions and d_model.

    Raises:
        ArtifactError: there are not as many.
    """
    x = open_activations(activations)
    if contexts > len(x):
        raise ArtifactError(
            f"pursuit.contexts is {contexts}, but {activations} has {len(x)}: lower it, or raise tokens.eval_contexts"
        )
    with replacing(path) as temporary:
        file = create_activations(temporary, x[:contexts])
        for number in range(contexts):
            file[number] = stored(x[number], file)
        file.flush()
    return x.shape[1], x.shape[2]


def check_codes(codes: Path, rows: int) -> None:
    """Refuse codes that do not cover the activations.

    Raises:
        ArtifactError: `codes` has fewer rows than the activations it belongs to.
    """
    if (result := len(read_arrays(codes / CODES)["l0"])) != rows:
        raise ArtifactError(f"{codes} has {result} rows, the eval activations {rows}: run `dvc repro codes`")


def ranges(contexts: int) -> list[tuple[int, int]]:
    """First and last (excluded) context of each unit."""
    return [(first, min(first + CONTEXTS_PER_UNIT, contexts)) for first in range(0, contexts, CONTEXTS_PER_UNIT)]


@torch.no_grad()
def pursue_contexts(
    out: Path, activations: str, codes: str, sae: str, first: int, last: int, device: str = "cpu"
) -> None:
    """Pursue some contexts with the decoder of one SAE: `out`/VARIANT/codes.npz (a unit of the pursuit stage).

    Args:
        activations: .npy, float32 [context, position, d_model].
        codes: the SAE's own, of at least these contexts; each token's l0 is taken from them.
        sae: folder of the SAE, of which the decoder is read.
        device: where the pursuit is computed.

    Raises:
        ArtifactError: the decoder has another d_model.
    """
    place = usable(device)
    x = open_activations(Path(activations))
    positions, d_model = x.shape[1:]
    decoder = open_decoder(Path(sae))
    if decoder.d_model != d_model:
        raise ArtifactError(f"{sae} decodes to {decoder.d_model} dimensions, {activations} has {d_model}")
    own = read_arrays(Path(codes) / CODES)
    l0 = torch.from_numpy(own["l0"][first * positions : last * positions].astype(np.int64))
    signal = (torch.from_numpy(np.array(x[first:last])).reshape(-1, d_model) - decoder.b_dec).to(place)
    result = pursue(signal, l0, Dictionary.of(decoder.W_dec.to(place)), own["index"].shape[1])
    for variant, arrays in result.items():
        write_arrays(out / variant / CODES, arrays, compress=True)  # as wide as the SAE's own codes, most slots empty


def join_codes(out: Path, parts: Iterable[str], codes: str) -> None:
    """`out`/VARIANT/codes.npz of all contexts, and `out`/own/codes.npz of the same rows (a unit of the pursuit stage).

    Args:
        parts: folders that `pursue_contexts` wrote, in the order of their contexts.
        codes: the SAE's own.
    """
    folders = [Path(part) for part in parts]
    rows = 0
    for variant in VARIANTS:
        arrays = [read_arrays(folder / variant / CODES) for folder in folders]
        joined = {name: np.concatenate([array[name] for array in arrays]) for name in arrays[0]}
        rows = len(joined["l0"])
        write_arrays(out / variant / CODES, joined, compress=True)
    own = {name: array[:rows] for name, array in read_arrays(Path(codes) / CODES).items()}
    write_arrays(out / OWN / CODES, own, compress=True)
