"""Encode and decode with an SAE whose weights stay in their file: exact, and in the memory of a few blocks.

Encoding reads the encoder once per call, in blocks of latents. JumpReLU and ReLU decide each latent by itself, so
blocks are exact. TopK keeps the k largest so far: the k largest of (those and the next block's k largest) are the k
largest of all. Decoding gathers only the rows of W_dec that fired.
"""

from collections.abc import Iterator
from functools import cached_property

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from darkmatter.params.given import given
from darkmatter.saes.decoder import Decoder
from darkmatter.saes.protocol import Codes, Rows, Sae
from darkmatter.saes.published.weights import Weights
from darkmatter.saes.topk import exact_topk
from darkmatter.storage.artifacts import ArtifactError

BLOCK_BYTES = 64 << 20  # float32 weights of one block of latents
DENSE_ELEMENTS = 1 << 22  # pre-activations at once: 16 MB, which stay in cache between the passes over them

AnyRows = Rows | Float[Tensor, "row d_model"]
Heads = Float[np.ndarray, "row head d_head"] | Float[Tensor, "row head d_head"]  # of attention, laid side by side


class StreamedSae(Sae):
    """An SAE on float32 rows of activations [row, d_model], NumPy or torch.

    Args:
        weights: maps of its file.
        where: named in error messages.
        block_bytes: memory of one block of weights; a few are alive at once.
        device: where the products are computed; blocks travel there one by one.
    """

    def __init__(
        self, weights: Weights, where: str, block_bytes: int = BLOCK_BYTES, device: str | torch.device = "cpu"
    ) -> None:
        self.weights, self.where, self.device = weights, where, torch.device(device)
        self.d_sae, self.d_model = weights.d_sae, weights.d_model
        self.block_bytes = block_bytes
        self.block = max(1, min(self.d_sae, block_bytes // (4 * self.d_model)))
        self.decoder_rows = weights.W_dec.latents_in_rows(self.block)
        self.norms = self.decoder_norms() if weights.norm_in_values else None

    @torch.no_grad()
    def encode(self, rows: AnyRows | Heads) -> Codes:
        """The codes of some rows; width: k for TopK, else the largest l0.

        The encoder is read once per call, so many rows at a time are best; a memory map of them is never copied whole.
        Attention heads may be apart, [row, head, d_head]: they are laid side by side in that order.

        Raises:
            ArtifactError: rows of another width, or with NaN or infinity.
        """
        flat = self.flat(rows)
        codes = self.largest(flat) if self.weights.architecture == "topk" else self.above_threshold(flat)
        return codes._replace(value=np.tanh(codes.value)) if self.weights.tanh else codes

    @torch.no_grad()
    def decode(self, codes: Codes) -> Float[np.ndarray, "row d_model"]:
        """Sae(x) of each row of codes, float32."""
        index, value = codes.index, codes.value
        b_dec = self.tensor(self.weights.b_dec)
        out = np.empty((len(index), self.d_model), dtype=np.float32)
        size = max(1, self.block_bytes // (4 * self.d_model * max(1, min(index.shape[1], self.d_sae))))
        if self.d_sae <= self.block:
            size = max(size, DENSE_ELEMENTS // self.d_model)
        for start in range(0, len(index), size):
            part = slice(start, start + size)
            latents, inverse = np.unique(index[part], return_inverse=True)
            decoder = Decoder(self.tensor(self.directions(latents)), b_dec)
            result = self.tensor(inverse.reshape(index[part].shape))
            out[part] = decoder.sum_of(result, self.tensor(value[part])).cpu().numpy()
        return out

    def directions(self, latents: Int[np.ndarray, " latent"]) -> Float[np.ndarray, "latent d_model"]:
        """What a value of 1 of each latent adds to Sae(x), float32."""
        W_dec = self.decoder_rows.rows(latents)
        if self.norms is not None:
            W_dec /= np.maximum(self.norms[latents, None], np.finfo(np.float32).tiny)  # a row of zeros stays one
        if self.weights.gains is not None:
            W_dec *= self.weights.gains[latents, None]
        return W_dec

    def reconstruct(self, rows: AnyRows | Heads) -> Float[np.ndarray, "row d_model"]:
        """Sae(x) of each row, float32."""
        return self.decode(self.encode(rows))

    @property
    def b_dec(self) -> Float[Tensor, " d_model"]:  # type: ignore[override]  # nobody writes it
        return torch.from_numpy(self.weights.b_dec)

    @cached_property
    def W_dec(self) -> Float[Tensor, "latent d_model"]:  # type: ignore[override]  # noqa: N802 - the protocol's name
        """Read from the file as a whole."""
        return torch.from_numpy(self.directions(np.arange(self.d_sae)))

    def above_threshold(self, rows: AnyRows) -> Codes:
        threshold = self.weights.threshold
        bound = (
            torch.zeros(self.d_sae, device=self.device) if threshold is None else self.tensor(threshold).clamp(min=0)
        )
        above = torch.empty(max(DENSE_ELEMENTS, self.block), dtype=torch.bool, device=self.device)
        row, latent = [np.zeros(0, dtype=np.int32)], [np.zeros(0, dtype=np.int32)]
        value = [np.zeros(0, dtype=np.float32)]
        for start, first, pre in self.pre_activations(rows):
            active = above[: pre.numel()].view(pre.shape)
            places = torch.gt(pre, bound[start : start + pre.shape[1]], out=active).nonzero()
            value.append(pre[places[:, 0], places[:, 1]].cpu().numpy())
            row.append((places[:, 0] + first).int().cpu().numpy())
            latent.append((places[:, 1] + start).int().cpu().numpy())
        return pack(np.concatenate(row), np.concatenate(latent), np.concatenate(value), len(rows))

    def largest(self, rows: AnyRows) -> Codes:
        k = given(self.weights.k, f"{self.where}: k")
        best = torch.full((len(rows), k), -torch.inf, device=self.device)
        where = torch.zeros((len(rows), k), dtype=torch.int64, device=self.device)
        for start, first, pre in self.pre_activations(rows):
            part = slice(first, first + len(pre))
            values, latents = topk(pre, min(k, pre.shape[1]))
            values, latents = torch.cat([best[part], values], 1), torch.cat([where[part], latents + start], 1)
            chosen = values.topk(k, dim=1, sorted=False)
            best[part], where[part] = chosen.values, latents.gather(1, chosen.indices)
        value, latent = best.cpu().numpy(), where.cpu().numpy()
        places = np.nonzero(value > 0)
        order = np.lexsort((latent[places], places[0]))
        return pack(places[0][order], latent[places][order], value[places][order], len(rows), k)

    def pre_activations(self, rows: AnyRows) -> Iterator[tuple[int, int, Tensor]]:
        """(first latent, first row, pre-activations [row, latent]): latents outside, rows inside.

        All pre-activations are written to one buffer: fresh ones, freed between the codes that are kept, would leave
        the heap in pieces of several times their size.
        """
        buffer = torch.empty(max(DENSE_ELEMENTS, self.block), device=self.device)
        b_dec = self.tensor(self.weights.b_dec)
        for start in range(0, self.d_sae, self.block):
            stop = min(start + self.block, self.d_sae)
            W = self.tensor(self.weights.W_enc.block(start, stop)).T  # (d_model, latent)
            b = self.tensor(self.weights.b_enc[start:stop])
            norms = None if self.norms is None else self.tensor(self.norms[start:stop])
            size = max(1, DENSE_ELEMENTS // (stop - start))
            for first in range(0, len(rows), size):
                part = self.part(rows, first, first + size)
                if self.weights.subtract_b_dec:
                    part -= b_dec
                pre = buffer[: len(part) * (stop - start)].view(len(part), stop - start)
                torch.addmm(b, part, W, out=pre)
                yield start, first, pre if norms is None else pre.mul_(norms)
            del W

    def decoder_norms(self) -> Float[np.ndarray, " latent"]:
        starts = range(0, self.d_sae, self.block)
        return np.concatenate(
            [np.linalg.norm(self.decoder_rows.block(start, start + self.block), axis=1) for start in starts]
        )

    def flat(self, rows: AnyRows | Heads) -> AnyRows:
        shape = tuple(rows.shape)
        flat = rows.reshape(len(rows), -1) if len(shape) == 3 else rows
        if flat.ndim != 2 or flat.shape[1] != self.d_model:
            raise ArtifactError(
                f"{self.where}: rows of shape {list(shape)}, expected [row, {self.d_model}] (or [row, head, d_head] "
                "with the heads' widths adding up to that). Were they read at another hookpoint or model?"
            )
        return flat

    def part(self, rows: AnyRows, start: int, stop: int) -> Float[Tensor, "part d_model"]:
        """A copy of some rows, float32, on the device."""
        part = rows[start:stop]
        copy = part.float().clone() if isinstance(part, Tensor) else torch.from_numpy(np.array(part, dtype=np.float32))
        if not copy.isfinite().all():
            raise ArtifactError(f"{self.where}: the rows to encode hold NaN or infinity (rows {start} to {stop - 1})")
        return copy.to(self.device)

    def tensor(self, array: np.ndarray) -> Tensor:
        return torch.from_numpy(array).to(self.device)


def topk(pre: Float[Tensor, "row latent"], k: int) -> tuple[Tensor, Tensor]:
    if pre.device.type == "cpu":
        return exact_topk(pre, k)
    chosen = pre.topk(k, dim=1, sorted=False)
    return chosen.values, chosen.indices


def pack(row: np.ndarray, latent: np.ndarray, value: np.ndarray, rows: int, width: int | None = None) -> Codes:
    """Codes from triples in which each row's latents ascend; rows may be interleaved."""
    order = np.argsort(row, kind="stable")
    l0 = np.bincount(row, minlength=rows).astype(np.int32)
    filled = np.arange(int(l0.max(initial=0)) if width is None else width) < l0[:, None]
    index, values = np.zeros(filled.shape, dtype=np.int32), np.zeros(filled.shape, dtype=np.float32)
    index[filled] = latent[order]
    values[filled] = value[order]
    return Codes(index, values, l0)
