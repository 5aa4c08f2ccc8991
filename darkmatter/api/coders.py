"""Any SAE in memory behind one face: what encodes rows, what keeps of it, and what gives Sae(x) again.

An SAE whose decoder is Σ value · W_dec + b_dec, or which decodes stored codes itself, is encoded once. Of any other
(normalised at run time, a decoder that is not linear in the codes or keeps a state) Sae(x) is computed in each pass.
"""

import contextlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor, nn

from darkmatter.saes.codes import DENSE_ELEMENTS, encode_block
from darkmatter.saes.decoder import Decoder
from darkmatter.storage.artifacts import ArtifactError

SPARSE_BYTES = 64 << 20  # rows given at once to an SAE that streams its own weights: it reads them once per call

Function = Callable[..., Any]
Csr = tuple[np.ndarray, np.ndarray, np.ndarray]  # latents and values of all codes row after row, number in each row
Rows = Float[np.ndarray, "row d_model"]


@dataclass(frozen=True)
class DenseCoder:
    """An SAE whose `encode` gives [row, d_sae], most of it zero.

    Attributes:
        device, dtype: what the SAE computes in; None where it does not say.
        decoder: W_dec and b_dec where they do what `decode` does; only then are codes enough.
    """

    encode_with: Function
    decode_with: Function
    d_sae: int
    device: torch.device | None = None
    dtype: torch.dtype | None = None
    decoder: Decoder | None = None

    @property
    def keeps_codes(self) -> bool:
        return self.decoder is not None

    @property
    def rows_at_once(self) -> int:
        return max(1, DENSE_ELEMENTS // self.d_sae)

    def encode(self, rows: Float[Tensor, "row d_model"]) -> Float[Tensor, "row d_sae"]:
        return on_cpu(self.encode_with(rows.to(self.device, self.dtype)), "encode")

    def codes(self, rows: Rows) -> Csr:
        return encode_block(self, rows, "the SAE")

    def decode(self, index: np.ndarray, value: np.ndarray) -> Float[Tensor, "row d_model"]:
        return self.decoder.decode(torch.from_numpy(index), torch.from_numpy(value))

    def rebuild(self, rows: Rows) -> tuple[Tensor, Tensor]:
        """(codes, Sae(x)), `decode` right after `encode` of the same rows: some SAEs keep a scale in between."""
        acts = self.encode_with(torch.from_numpy(np.array(rows)).to(self.device, self.dtype))
        return on_cpu(acts, "encode"), on_cpu(self.decode_with(acts), "decode")


@dataclass(frozen=True)
class SparseCoder:
    """An SAE whose `encode` gives `index`, `value` [row, slot] and `l0` [row], as those of `saes.published`."""

    sae: Any
    make_codes: Function  # from index, value and l0 what `decode` takes
    d_sae: int
    d_model: int
    keeps_codes: bool = True

    @property
    def rows_at_once(self) -> int:
        return max(1, SPARSE_BYTES // (4 * self.d_model))

    def codes(self, rows: Rows) -> Csr:
        codes = self.sae.encode(np.array(rows))
        filled = np.arange(codes.index.shape[1]) < codes.l0[:, None]
        return codes.index[filled], codes.value[filled], codes.l0

    def decode(self, index: np.ndarray, value: np.ndarray) -> Float[Tensor, "row d_model"]:
        codes = self.make_codes(index, value, np.count_nonzero(value, axis=1).astype(np.int32))
        return on_cpu(self.sae.decode(codes), "decode")


Coder = DenseCoder | SparseCoder


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


def make_coder(sae: Any, first: Rows) -> Coder:
    """The coder of an SAE, from what it makes of some rows.

    Raises:
        ArtifactError: it cannot encode and decode them, changes their shape, or is random.
    """
    encode, decode = functions_of(sae)
    place = place_of(sae)
    try:
        codes = encode(torch.from_numpy(np.array(first)).to(*place))
        if all(hasattr(codes, name) for name in ("index", "value", "l0")):
            return SparseCoder(sae, type(codes), int(sae.d_sae), first.shape[1])
        coder = DenseCoder(encode, decode, 0, *place)
        acts, output = coder.rebuild(first)
    except ArtifactError:
        raise
    except Exception as error:
        raise ArtifactError(
            f"the SAE cannot encode and decode float32 rows {list(first.shape)} ({type(error).__name__}: {error}). Is "
            "it of another d_model or hookpoint?"
        ) from error
    if acts.ndim != 2 or len(acts) != len(first):
        raise ArtifactError(f"encode makes {list(acts.shape)} of rows {list(first.shape)}, expected [row, d_sae]")
    if output.shape != first.shape:
        raise ArtifactError(f"the SAE makes {list(output.shape)} of rows {list(first.shape)}: it must rebuild them")
    if not torch.equal(acts, coder.encode(torch.from_numpy(np.array(first)))):
        raise ArtifactError("encode gives other codes for the same rows the second time; switch its noise off")
    return replace(coder, d_sae=acts.shape[1])


def linear_decoder(sae: Any, d_sae: int, d_model: int) -> Decoder | None:
    """W_dec and b_dec of an SAE that has them in these shapes; whether they are its whole decoder, a sample shows."""
    weights = [getattr(sae, name, None) for name in ("W_dec", "b_dec")]
    if not all(isinstance(weight, Tensor) for weight in weights):
        return None
    if weights[0].shape != (d_sae, d_model) or weights[1].shape != (d_model,):
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
