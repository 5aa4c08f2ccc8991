"""Gradient pursuit against the naive loop, on the same tokens, interleaved, in one process.

The naive loop is the published way: dense coefficients of all latents, every token for as many steps as the longest.
Ours keeps slots for the latents in use, retires finished tokens, and takes correlations from the decoder's Gram matrix
while few latents are in use. Signals are sparse combinations of the decoder's rows with noise; l0 is one number for
all tokens (TopK) or differs from token to token (JumpReLU).

    python -m tests.benches.bench_pursuit [--tokens 256] [--l0 32] [--d-sae 2048 8192] [--repeats 3]
"""

import argparse
import statistics
import time
from collections.abc import Callable

import torch

from darkmatter.experiments.pursuit.algorithm import Dictionary, pursue

D_MODEL, NAIVE_BATCH = 576, 256


def make_case(tokens: int, d_sae: int, l0: int, constant: bool) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    random = torch.Generator().manual_seed(0)
    W_dec = torch.nn.functional.normalize(torch.randn(d_sae, D_MODEL, generator=random))
    latents = torch.randint(d_sae, (tokens, 2 * l0), generator=random)
    values = torch.rand(tokens, 2 * l0, generator=random)
    signal = torch.nn.functional.embedding_bag(latents, W_dec, per_sample_weights=values, mode="sum")
    signal += 0.1 * torch.randn(tokens, D_MODEL, generator=random)
    # exponential, as the l0 of JumpReLU SAEs has a long tail
    spread = 1 + (l0 * -torch.rand(tokens, generator=random).log()).long().clamp(max=4 * l0)
    return signal, torch.full((tokens,), l0) if constant else spread, W_dec


def naive(signal: torch.Tensor, l0: torch.Tensor, W_dec: torch.Tensor) -> torch.Tensor:
    """Dense coefficients [token, latent] by the published loop."""
    results = []
    for x, steps in zip(signal.split(NAIVE_BATCH), l0.split(NAIVE_BATCH), strict=True):
        weights = torch.zeros(len(x), len(W_dec), dtype=x.dtype)
        final = torch.zeros_like(weights)
        for step in range(int(steps.max())):
            residual = x - weights @ W_dec
            support = weights != 0
            inner = residual @ W_dec.T
            support[torch.arange(len(x)), inner.argmax(1)] = True
            gradient = inner * support
            change = gradient @ W_dec
            size = (change * residual).sum(1) / change.square().sum(1)
            weights = (weights + gradient * size[:, None]).clamp(min=0)
            final = torch.where((steps > step)[:, None], weights, final)
        results.append(final)
    return torch.cat(results)


def timed(run: Callable[[], object]) -> tuple[float, object]:
    start = time.perf_counter()
    result = run()
    return time.perf_counter() - start, result


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tokens", type=int, default=256)
    parser.add_argument("--l0", type=int, default=32)
    parser.add_argument("--d-sae", type=int, nargs="+", default=[2048, 8192])
    parser.add_argument("--repeats", type=int, default=3)
    given = parser.parse_args()
    torch.set_num_threads(1)  # as in the stages
    for d_sae in given.d_sae:
        for constant in (True, False):
            signal, l0, W_dec = make_case(given.tokens, d_sae, given.l0, constant)
            dictionary = Dictionary.of(W_dec)  # once per 8,000 tokens in the stage
            runs = {
                "naive": lambda s=signal, n=l0, w=W_dec: naive(s, n, w),
                "product": lambda s=signal, n=l0, w=W_dec: pursue(s, n, Dictionary(w, None), int(n.max())),
                "gram": lambda s=signal, n=l0, d=dictionary: pursue(s, n, d, int(n.max())),
            }
            times: dict[str, list[float]] = {name: [] for name in runs}
            results = {}
            for _ in range(given.repeats):
                for name, run in runs.items():
                    seconds, results[name] = timed(run)
                    times[name].append(seconds)
            codes = results["gram"]["published"]
            index, value = torch.from_numpy(codes["index"]).long(), torch.from_numpy(codes["value"])
            dense = torch.zeros(len(signal), d_sae).scatter_add(1, index, value)
            same = torch.isclose(dense, results["naive"], rtol=1e-3, atol=1e-4).all(1).float().mean()
            median = {name: statistics.median(seconds) for name, seconds in times.items()}
            print(
                f"{d_sae} latents, {given.tokens} tokens, l0 {'' if constant else 'around '}{given.l0}: naive "
                f"{median['naive']:.2f} s; ours, both variants, by products {median['product']:.2f} s (ratio "
                f"{median['naive'] / median['product']:.1f}), by Gram rows {median['gram']:.2f} s (ratio "
                f"{median['naive'] / median['gram']:.1f}); the same codes on {same:.1%} of tokens",
                flush=True,
            )


if __name__ == "__main__":
    main()
