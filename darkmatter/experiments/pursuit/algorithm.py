"""Gradient pursuit on a frozen decoder: a few latents for each activation, without the SAE's encoder (section 6.1).

With s = x − b_dec, coefficients w ≥ 0 and the residual r = s − W_decᵀ w, one step is

    inner = W_dec r                            correlation of every latent with the residual
    support = {i: w_i > 0} ∪ {argmax inner}
    g = inner on the support, 0 elsewhere      the negative gradient of ‖r‖² / 2
    a = (W_decᵀ g)·r / ‖W_decᵀ g‖²             exact line search
    w ← max(w + a g, 0)

`published` takes as many steps as the SAE has active latents on this token (its l0). A step may choose a latent that
is in the support already, and the clamp may take others out of it, so that l0 is an upper bound; nor need the clamp
lower the residual. (A token with nothing left to follow takes no step; the published code divides 0 by 0 there.)

`exact_l0` reads "with an L0 exactly equal to the L0 of x in the original Sae(x)": it goes on until the support has l0
latents. The step is changed so that this is well defined. The latent to add is the best one *outside* the support, so
that every step adds one, if its correlation is positive; where none is, the step refines the coefficients on the
support. After the clamp the line search is repeated on the segment from the old to the clamped coefficients, so that
every step lowers the residual and nothing goes in circles. A token stops short of l0 where nothing is left to follow
(g is rounding: no non-negative coefficients then have a lower residual) or after STEPS_PER_LATENT · l0 steps. Where
`published` ends with l0 latents it has chosen none twice and clamped none: there both variants are the same pursuit,
and only the other tokens are pursued again.

Correlations cost one product with the whole decoder a step. While few latents are in use, rows of its Gram matrix are
cheaper: inner = W_dec s − Σ_i w_i (W_dec W_decᵀ)_i.
"""

from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.nn.functional import embedding_bag

GRAM_BYTES = 1 << 28  # 8,192 latents in float32; beyond, its rows come from memory too slowly, and memory is short
DIMS_PER_GRAM_ROW = 16  # a row of the Gram matrix takes as long as that many dimensions of the product, measured
BATCH = 128  # tokens at once: their correlations with 8,192 latents are 4 MB
STEPS_PER_LATENT = 4  # of `exact_l0`; a token that needs more loses latents as fast as it gains them
VARIANTS = ("published", "exact_l0")


@dataclass(frozen=True)
class Dictionary:
    """The decoder that pursuit chooses latents from.

    Attributes:
        W_dec: rows of any norm; as in the published code they are not normalised.
        gram: W_dec W_decᵀ, or None where it is too large.
    """

    W_dec: Float[Tensor, "latent d_model"]
    gram: Float[Tensor, "latent latent"] | None

    @classmethod
    def of(cls, W_dec: Float[Tensor, "latent d_model"], gram_bytes: int = GRAM_BYTES) -> "Dictionary":
        fits = len(W_dec) ** 2 * W_dec.element_size() <= gram_bytes
        return cls(W_dec, W_dec @ W_dec.T if fits else None)

    def combine(self, latents: Tensor, values: Tensor) -> Float[Tensor, "token d_model"]:
        """Σ value · W_dec[latent] of each token."""
        return bag(latents, values, self.W_dec)


@dataclass(frozen=True)
class PursuitBatch:
    """A batch under way.

    Attributes:
        signal: x − b_dec.
        start: W_dec (x − b_dec), where the Gram matrix is used.
        latents, values: slots in use; value 0 is no part of the support, and no latent has two positive slots.
    """

    signal: Float[Tensor, "token d_model"]
    start: Float[Tensor, "token latent"] | None
    residual: Float[Tensor, "token d_model"]
    latents: Int[Tensor, "token slot"]
    values: Float[Tensor, "token slot"]

    @classmethod
    def begin(cls, signal: Float[Tensor, "token d_model"], dictionary: Dictionary) -> "PursuitBatch":
        start = None if dictionary.gram is None else signal @ dictionary.W_dec.T
        empty = torch.zeros(len(signal), 0, dtype=torch.long, device=signal.device)
        return cls(signal, start, signal, empty, empty.to(signal.dtype))

    def keep(self, which: slice | Tensor) -> "PursuitBatch":
        start = None if self.start is None else self.start[which]
        return PursuitBatch(
            self.signal[which], start, *(part[which] for part in (self.residual, self.latents, self.values))
        )

    def correlations(self, dictionary: Dictionary) -> Float[Tensor, "token latent"]:
        slots, d_model = self.latents.shape[1], self.signal.shape[1]
        if self.start is None or slots * DIMS_PER_GRAM_ROW > d_model:
            return self.residual @ dictionary.W_dec.T
        return self.start - bag(self.latents, self.values, dictionary.gram) if slots else self.start

    def with_slot(self, latent: Int[Tensor, " token"]) -> tuple[Tensor, Tensor]:
        """Latents and values with one more slot, of value 0."""
        values = torch.cat([self.values, self.signal.new_zeros(len(self.values), 1)], 1)
        return torch.cat([self.latents, latent[:, None]], 1), values

    def moved(self, latents: Tensor, values: Tensor, dictionary: Dictionary) -> "PursuitBatch":
        return PursuitBatch(self.signal, self.start, self.signal - dictionary.combine(latents, values), latents, values)


def bag(latents: Tensor, values: Tensor, rows: Tensor) -> Tensor:
    return embedding_bag(latents, rows, per_sample_weights=values, mode="sum")


def quotient(above: Tensor, below: Tensor) -> Tensor:
    """above / below, and 0 for 0/0: a token without residual takes no step."""
    return torch.where(below > 0, above / below.where(below > 0, torch.ones_like(below)), 0.0)


def line_search(
    gradient: Tensor, latents: Tensor, residual: Tensor, dictionary: Dictionary
) -> Float[Tensor, "token 1"]:
    """The step along `gradient` that is best for the residual."""
    change = dictionary.combine(latents, gradient)
    return quotient((change * residual).sum(1), change.square().sum(1))[:, None]


def published_step(tokens: PursuitBatch, dictionary: Dictionary) -> PursuitBatch:
    inner = tokens.correlations(dictionary)
    best = inner.argmax(1)
    latents, values = tokens.with_slot(best)
    support = values > 0
    support[:, -1] = ~((latents[:, :-1] == best[:, None]) & support[:, :-1]).any(1)
    gradient = inner.gather(1, latents) * support
    step = line_search(gradient, latents, tokens.residual, dictionary)
    return tokens.moved(latents, (values + step * gradient).clamp(min=0), dictionary)


def exact_step(tokens: PursuitBatch, dictionary: Dictionary) -> tuple[PursuitBatch, Tensor]:
    """One step, and which tokens have nothing to follow: those stay as they are."""
    inner = tokens.correlations(dictionary)
    support = tokens.values > 0
    taken = torch.full_like(tokens.values, -torch.inf).where(support, inner.gather(1, tokens.latents))
    # amin: a latent that was clamped and chosen again has an empty slot beside its own
    highest, best = inner.scatter_reduce(1, tokens.latents, taken, "amin").max(1)
    latents, values = tokens.with_slot(best)
    gradient = inner.gather(1, latents) * torch.cat([support, (highest > 0)[:, None]], 1)
    rounding = torch.finfo(inner.dtype).eps * tokens.signal.norm(dim=1)
    stuck = gradient.abs().amax(1) <= rounding
    step = line_search(gradient, latents, tokens.residual, dictionary)
    free = values + step * gradient
    clamped = free.clamp(min=0)
    move = clamped - values
    share = line_search(move, latents, tokens.residual, dictionary).clamp(max=1)
    whole = (share == 1) | (free >= 0).all(1, keepdim=True)
    return tokens.moved(latents, torch.where(whole, clamped, values + share * move), dictionary), stuck


def published(signal: Tensor, steps: Int[Tensor, " token"], dictionary: Dictionary) -> tuple[Tensor, Tensor]:
    """Latents and values [token, slot] of a batch whose `steps` fall."""
    latents = torch.zeros(len(signal), int(steps.max()), dtype=torch.long, device=signal.device)
    values = torch.zeros_like(latents, dtype=signal.dtype)
    tokens = PursuitBatch.begin(signal, dictionary)
    for step in range(latents.shape[1]):
        going = int((steps > step).sum())
        tokens = published_step(tokens.keep(slice(going)), dictionary)
        latents[:going, : step + 1], values[:going, : step + 1] = tokens.latents, tokens.values
    return latents, values


def exact_l0(signal: Tensor, l0: Int[Tensor, " token"], dictionary: Dictionary) -> tuple[Tensor, Tensor]:
    """Latents and values [token, slot] of a batch, with l0 positive values wherever that can be had."""
    most = STEPS_PER_LATENT * int(l0.max())
    latents = torch.zeros(len(signal), most, dtype=torch.long, device=signal.device)
    values = torch.zeros_like(latents, dtype=signal.dtype)
    tokens, waiting = PursuitBatch.begin(signal, dictionary), torch.arange(len(signal), device=signal.device)
    going = l0 > 0
    for step in range(most):
        tokens, waiting = tokens.keep(going), waiting[going]
        if not len(waiting):
            break
        tokens, stuck = exact_step(tokens, dictionary)
        latents[waiting, : step + 1], values[waiting, : step + 1] = tokens.latents, tokens.values
        reached = (tokens.values > 0).sum(1) >= l0[waiting]
        going = ~(reached | stuck) & (step + 1 < STEPS_PER_LATENT * l0[waiting])
    return latents, values


def pursue(
    signal: Float[Tensor, "token d_model"], l0: Int[Tensor, " token"], dictionary: Dictionary, width: int
) -> dict[str, dict[str, np.ndarray]]:
    """Codes of both variants as `codes.encode_sae` writes them: `index`, `value` [token, width], `l0` [token].

    Args:
        signal: x − b_dec, on the dictionary's device.
        l0: latents the SAE itself has active on each token, at most `width`; on the CPU.
    """
    codes = {name: empty_codes(len(signal), width) for name in VARIANTS}
    order = l0.argsort(descending=True, stable=True)  # tokens of one batch end about together
    for rows in order[: int((l0 > 0).sum())].split(BATCH):
        fill(codes["published"], rows, *published(*at(rows, signal, l0), dictionary))
    for name, array in codes["published"].items():
        codes["exact_l0"][name][:] = array
    for rows in order[torch.from_numpy(codes["published"]["l0"])[order] < l0[order]].split(BATCH):
        if len(rows):
            fill(codes["exact_l0"], rows, *exact_l0(*at(rows, signal, l0), dictionary))
    return codes


def at(rows: Tensor, signal: Tensor, l0: Tensor) -> tuple[Tensor, Tensor]:
    """Signal and l0 of some tokens, on the signal's device."""
    return signal[rows.to(signal.device)], l0[rows].to(signal.device)


def empty_codes(rows: int, width: int) -> dict[str, np.ndarray]:
    index, value = np.zeros((rows, width), dtype=np.int32), np.zeros((rows, width), dtype=np.float32)
    return {"index": index, "value": value, "l0": np.zeros(rows, dtype=np.int32)}


def fill(codes: dict[str, np.ndarray], rows: Tensor, latents: Tensor, values: Tensor) -> None:
    """Write the positive slots of some rows: ascending latents first, then empty slots (latent 0, value 0)."""
    number, latents, values = rows.numpy(), latents.cpu(), values.cpu()
    order = latents.where(values > 0, torch.iinfo(torch.int64).max).argsort(1)[:, : codes["index"].shape[1]]
    latents, values = latents.gather(1, order), values.gather(1, order)
    for name, slots in (("index", latents * (values > 0)), ("value", values)):
        codes[name][number] = 0
        codes[name][number, : slots.shape[1]] = slots.numpy()
    codes["l0"][number] = (codes["value"][number] > 0).sum(1)
