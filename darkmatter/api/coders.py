"""Any SAE in memory as one of `saes.protocol`: what encodes rows, what keeps of it, and what gives Sae(x) again.

An SAE whose decoder is Σ value · W_dec + b_dec, or which decodes stored codes itself, is encoded once. Of any other
(normalised at run time, a decoder that is not linear in the codes or keeps a state) Sae(x) is computed in each pass.
"""

import contextlib
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor, nn

from darkmatter.saes.codes import DENSE_ELEMENTS
from darkmatter.saes.decoder import Decoder
from darkmatter.saes.dense import DenseSae, Function
from darkmatter.saes.protocol import Sae
from darkmatter.storage.artifacts import ArtifactError

SPARSE_BYTES = 64 << 20  # rows given at once to an SAE that streams its own weights: it reads them once per call

Rows = Float[np.ndarray, "row d_model"]


def keeps_codes(sae: Sae | DenseSae) -> bool:
    """Whether Sae(x) follows from the codes."""
    return not isinstance(sae, DenseSae) or sae.decoder is not None


def rows_at_once(sae: Sae | DenseSae, d_model: int) -> int:
    return max(1, DENSE_ELEMENTS // sae.d_sae if isinstance(sae, DenseSae) else SPARSE_BYTES // (4 * d_model))


def functions_of(sae: Any) -> tuple[Function, Function]:
    """`encode` and `decode` of an object, or the pair itself."""
    if isinstance(sae, tuple | list) and len(sae) == 2 and all(map(callable, sae)):
        return tuple(sae)
    if callable(getattr(sae, "encode", None)) and callable(getattr(sae, "decode", None)):
        return sae.encode, sae.decode
    raise ArtifactError(
        f"the SAE is a {type(sae).__name__}: it needs `encode` and `decode`, or is the pair (encode, decode). One on "
        "disk is loaded with darkmatter.saes.published.load.load_pretrained(reference).sae"
    )


def place_of(sae: Any) -> tuple[torch.device | None, torch.dtype | None]:
    """Where an SAE computes, and in what."""
    owner = next(iter(sae.parameters()), None) if isinstance(sae, nn.Module) else sae
    device, dtype = getattr(owner, "device", None), getattr(owner, "dtype", None)
    return (
        device if isinstance(device, torch.device | str) else None,
        dtype if isinstance(dtype, torch.dtype) else None,
    )


def as_sae(sae: Any, first: Rows, d_out: int) -> Sae | DenseSae:
    """An SAE as one of the protocol, from what it makes of some rows: itself, if its codes have index, value and l0.

    Args:
        d_out: width of what it is to make of them.

    Raises:
        ArtifactError: it cannot encode and decode them, changes their shape, or is random.
    """
    encode, decode = functions_of(sae)
    place = place_of(sae)
    try:
        codes = encode(torch.from_numpy(np.array(first)).to(*place))
        if all(hasattr(codes, name) for name in ("index", "value", "l0")):
            return sae
        dense = DenseSae(encode, decode, 0, first.shape[1], *place)
        acts, output = dense.run(first)
    except ArtifactError:
        raise
    except Exception as error:
        raise ArtifactError(
            f"the SAE cannot encode and decode float32 rows {list(first.shape)} ({type(error).__name__}: {error}). Is "
            "it of another d_model or hookpoint?"
        ) from error
    if acts.ndim != 2 or len(acts) != len(first):
        raise ArtifactError(f"encode makes {list(acts.shape)} of rows {list(first.shape)}, expected [row, d_sae]")
    if output.shape != (len(first), d_out):
        aim = "rebuild them" if d_out == first.shape[1] else f"give [row, {d_out}], as the targets have"
        raise ArtifactError(f"the SAE makes {list(output.shape)} of rows {list(first.shape)}: it must {aim}")
    if not torch.equal(acts, dense.acts(first)):
        raise ArtifactError("encode gives other codes for the same rows the second time; switch its noise off")
    return replace(dense, d_sae=acts.shape[1])


def skip_of(sae: Any) -> Float[Tensor, "d_model d_out"] | None:
    """The skip connection of a transcoder: x W is added to what its codes give.

    `skip` [d_model, d_out] of those read here, `W_skip` [d_out, d_model] of sae-lens's objects, whose `decode` leaves
    it out.
    """
    for name, turned in (("skip", False), ("W_skip", True)):
        weight = getattr(sae, name, None)
        if isinstance(weight, Tensor) and weight.ndim == 2:
            weight = weight.detach().float().cpu()
            return (weight.T if turned else weight).contiguous()
    return None


def linear_decoder(sae: Any, d_sae: int, d_out: int) -> Decoder | None:
    """W_dec and b_dec of an SAE that has them in these shapes; whether they are its whole decoder, a sample shows."""
    weights = [getattr(sae, name, None) for name in ("W_dec", "b_dec")]
    if not all(isinstance(weight, Tensor) for weight in weights):
        return None
    if weights[0].shape != (d_sae, d_out) or weights[1].shape != (d_out,):
        return None
    return Decoder(*(weight.detach().float().cpu().contiguous() for weight in weights))


@contextlib.contextmanager
def inference(sae: Any) -> Iterator[None]:
    """Evaluation mode, no gradients, rows left flat; afterwards everything is as it was.

    A hook_z SAE of sae-lens would take the last axis of a row for one head, and mix heads up in silence.
    """
    training = isinstance(sae, nn.Module) and sae.training
    heads = getattr(sae, "hook_z_reshaping_mode", False)
    if training:
        sae.eval()
    if heads:
        sae.turn_off_forward_pass_hook_z_reshaping()
    try:
        with torch.no_grad():
            yield
    finally:
        if heads:
            sae.turn_on_forward_pass_hook_z_reshaping()
        if training:
            sae.train()
