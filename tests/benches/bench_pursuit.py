"""Gradient pursuit against the published loop, on the same tokens.

The published loop has dense coefficients of all latents, and every token takes as many steps as the longest. Ours keeps
slots for the latents in use, retires finished tokens, and takes correlations from the decoder's Gram matrix while few
latents are in use. Signals are sparse combinations of the decoder's rows with noise; l0 is one number for all tokens
(TopK) or differs from token to token (JumpReLU).
"""

from pathlib import Path

import torch
from sae_lens import MatchingPursuitSAE, MatchingPursuitSAEConfig
from torch import Tensor
from torch.nn.functional import embedding_bag, normalize

from darkmatter.experiments.pursuit.algorithm import BATCH, Dictionary, published
from tests.benches.interleaved import Check, Limit, Pairs, Peaks, Row, interleave, shortest

GROUP = "Gradient pursuit"
D_MODEL, L0, TOKENS, PAIRS, ATTEMPTS = 576, 32, 64, 3, 10
GOALS = {"variable": 8.0, "constant": 3.0}
SAME = 0.99  # share of tokens with equal reconstructions: where two latents tie, rounding decides


def make_case(d_sae: int, constant: bool) -> tuple[Tensor, Tensor, Tensor]:
    """Signals, l0 of each, longest first, and a decoder."""
    random = torch.Generator().manual_seed(0)
    W_dec = normalize(torch.randn(d_sae, D_MODEL, generator=random))
    latents = torch.randint(d_sae, (TOKENS, 2 * L0), generator=random)
    values = torch.rand(TOKENS, 2 * L0, generator=random)
    signal = embedding_bag(latents, W_dec, per_sample_weights=values, mode="sum")
    signal += 0.1 * torch.randn(TOKENS, D_MODEL, generator=random)
    # exponential, as the l0 of JumpReLU SAEs has a long tail
    spread = 1 + (L0 * -torch.rand(TOKENS, generator=random).log()).long().clamp(max=4 * L0)
    return signal, torch.full((TOKENS,), L0) if constant else spread.sort(descending=True).values, W_dec


def naive(signal: Tensor, l0: Tensor, W_dec: Tensor) -> Tensor:
    """Reconstructions by the published loop."""
    weights = torch.zeros(len(signal), len(W_dec), dtype=signal.dtype)
    final = torch.zeros_like(weights)
    for step in range(int(l0.max())):
        residual = signal - weights @ W_dec
        support = weights != 0
        inner = residual @ W_dec.T
        support[torch.arange(len(signal)), inner.argmax(1)] = True
        gradient = inner * support
        change = gradient @ W_dec
        size = (change * residual).sum(1) / change.square().sum(1)
        weights = (weights + gradient * size[:, None]).clamp(min=0)
        final = torch.where((l0 > step)[:, None], weights, final)
    return final @ W_dec


def ours(signal: Tensor, l0: Tensor, dictionary: Dictionary) -> Tensor:
    parts = zip(signal.split(BATCH), l0.split(BATCH), strict=True)
    return torch.cat([dictionary.combine(*published(x, steps, dictionary)) for x, steps in parts])


def of_products(signal: Tensor, l0: Tensor, dictionary: Dictionary, pairs: Pairs) -> Limit | None:
    """Where no Gram matrix is kept: every step needs the product of its residuals, and the largest of each row.

    Timed at the size of a whole batch; steps of fewer tokens read as much of the decoder for less.
    """
    if dictionary.gram is not None:
        return None
    once = shortest(lambda: (signal @ dictionary.W_dec.T).argmax(1), ATTEMPTS)
    least = once * int(l0.sum()) / len(signal)
    what = f"float32 products of {len(signal)} residuals with the decoder and the largest of each, timed alone"
    return Limit(what, least / min(pairs.ours))


def matching(d_sae: int) -> Row:
    """Against sae-lens's matching pursuit, which keeps each coefficient as it was first chosen."""
    signal, l0, W_dec = make_case(d_sae, constant=True)
    dictionary = Dictionary.of(W_dec)
    config = MatchingPursuitSAEConfig(
        d_in=D_MODEL, d_sae=d_sae, residual_threshold=0.0, max_iterations=L0, stop_on_duplicate_support=False
    )
    sae = MatchingPursuitSAE(config)
    sae.load_state_dict({"W_dec": W_dec, "b_dec": torch.zeros(D_MODEL)})

    @torch.no_grad()
    def rival() -> Tensor:
        return sae(signal)

    pairs = interleave(lambda: ours(signal, l0, dictionary), rival, PAIRS)
    mine, theirs = ((signal - rebuilt).square().sum().sqrt().item() for rebuilt in pairs.results)
    return Row(
        GROUP,
        f"{d_sae:,} latents, constant L0",
        "sae-lens, matching pursuit",
        GOALS["constant"],
        pairs,
        limit=of_products(signal, l0, dictionary, pairs),
        note=f"{TOKENS} tokens, {L0} steps each. Another algorithm, so results differ: norm of its error over ours "
        f"{theirs / mine:.3f}.",
    )


def measure(d_sae: int, kind: str) -> Row:
    signal, l0, W_dec = make_case(d_sae, kind == "constant")
    dictionary = Dictionary.of(W_dec)  # once per 8,000 tokens in the stage
    pairs = interleave(lambda: ours(signal, l0, dictionary), lambda: naive(signal, l0, W_dec), PAIRS)
    mine, theirs = pairs.results
    same = float(((mine - theirs).norm(dim=1) <= 1e-3 * theirs.norm(dim=1)).float().mean())
    note = f"{TOKENS} tokens, {int(l0.sum()):,} steps in all."
    return Row(
        GROUP,
        f"{d_sae:,} latents, {kind} L0",
        "the published loop",
        GOALS[kind],
        pairs,
        checks=(Check("share of equal reconstructions", same, SAME, True),),
        limit=of_products(signal, l0, dictionary, pairs),
        note=note,
    )


def rows(data: Path, peaks: Peaks) -> list[Row]:
    published_loop = [measure(d_sae, kind) for d_sae in (4096, 16384) for kind in GOALS]
    return [*published_loop, *(matching(d_sae) for d_sae in (4096, 16384))]
