"""The decomposition against the published way, on the same rows, interleaved, in one process.

12 SAEs of one hookpoint; for each the error vector and five squared norms; one split; the encoding left out on
both sides. The published way solves float32 least squares per SAE and per target (`torch.linalg.lstsq`), each time
from the whole design matrix. Ours shares the moments of x and solves every target from them.

    python -m tests.benches.bench_regression [--contexts 300] [--saes 12]
"""

import argparse
import statistics
import tempfile
import time
from pathlib import Path

import numpy as np
import torch

from darkmatter.decomposition.passes import error_maps
from darkmatter.decomposition.samples import SaeSample
from darkmatter.decomposition.shared_moments import prepare, read_prepared
from darkmatter.regression.least_squares import fit
from darkmatter.regression.moments import CrossMomentsFitter
from darkmatter.regression.splits import draw_splits
from darkmatter.saes.decoder import Decoder

FIT_SHARE = 150 / 247
POSITIONS, D_MODEL, D_SAE, K = 823, 576, 2048, 32


def make_rows(contexts: int, folder: Path) -> np.ndarray:
    """Activations with a spectrum like a language model's: variance falling as a power law."""
    random = np.random.default_rng(0)
    basis, _ = np.linalg.qr(random.standard_normal((D_MODEL, D_MODEL)))
    scaled = (basis * np.arange(1, D_MODEL + 1) ** -0.5).astype(np.float32)
    rows = random.standard_normal((contexts, POSITIONS, D_MODEL), dtype=np.float32) @ scaled
    np.save(folder / "x.npy", rows)
    return rows


def make_sae(seed: int, rows: int) -> tuple[np.ndarray, np.ndarray, Decoder]:
    """Codes and a decoder: which latents fire does not matter for the time of a regression."""
    random = np.random.default_rng(seed)
    index = random.integers(D_SAE, size=(rows, K), dtype=np.int32)
    value = random.random((rows, K), dtype=np.float32) * 0.1
    decoder = torch.nn.functional.normalize(torch.randn(D_SAE, D_MODEL, generator=torch.Generator().manual_seed(seed)))
    return index, value, Decoder(decoder, torch.zeros(D_MODEL))


def published(x: torch.Tensor, error: torch.Tensor, order: torch.Tensor, rows: int) -> float:
    """R² of the error vector; then of the five norms, one least squares each, as the published code has it."""
    fitted, held_out = order[:rows], order[rows:]
    solution = torch.linalg.lstsq(x[fitted], error[fitted], rcond=1e-9).solution
    linear = x @ solution
    scores = [score(error[held_out], linear[held_out])]
    for vector in (x, x - error, error, linear, error - linear):
        target = vector.square().sum(1, keepdim=True)
        probe = torch.linalg.lstsq(x[fitted], target[fitted], rcond=1e-9).solution
        scores.append(score(target[held_out], x[held_out] @ probe))
    return scores[0]


def score(target: torch.Tensor, predicted: torch.Tensor) -> float:
    left, spread = (target - predicted).square().sum(0), (target - target.mean(0)).square().sum(0)
    return float((1 - left / spread).mean())


def ours(sample: SaeSample) -> float:
    """The same numbers, with intercepts, from shared moments; held-out residuals streamed."""
    splits, shift = sample.splits, sample.prepared.x_shift
    contexts = len(sample.x)
    (error_map,) = error_maps(sample).values()
    weight, intercept = error_map.weight.to(sample.prepared.products), error_map.intercept.float()
    held_out = torch.from_numpy(~splits.token_fit).double()
    sums = torch.zeros(3, D_MODEL, dtype=torch.float64)
    norms = torch.zeros(contexts, POSITIONS, 5, dtype=torch.float64)
    for context in range(contexts):
        x, sae = sample.context(context)
        error = x - sae
        linear = (x - shift.float()) @ weight + intercept
        nonlinear = error - linear
        parts = (error, error.square(), nonlinear.square())
        sums += torch.stack([held_out[context] @ part.double() for part in parts])
        for column, vector in enumerate((x, sae, error, linear, nonlinear)):
            norms[context, :, column] = vector.square().sum(1, dtype=torch.float64)
    fitter = CrossMomentsFitter(sample.blocks, D_MODEL, 5)
    means = norms.mean((0, 1))
    for context in range(contexts):
        fitter.update(context, torch.from_numpy(sample.x[context]).double() - shift, norms[context] - means)
    probe = fit(sample.prepared.factors["token"], fitter.fit_set("token"), shift, means)
    left = torch.zeros(5, dtype=torch.float64)
    for context in range(contexts):
        predicted = (torch.from_numpy(sample.x[context]).double() - shift) @ probe.weight + probe.intercept
        left += held_out[context] @ (norms[context] - predicted).square()
    rows = held_out.sum()
    return float((1 - sums[2] / (sums[1] - sums[0] ** 2 / rows)).mean())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--contexts", type=int, default=300, help="of 823 rows each (default: the paper's 300)")
    parser.add_argument("--saes", type=int, default=12)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        x = make_rows(given.contexts, folder)
        splits = draw_splits(given.contexts, POSITIONS, FIT_SHARE, 5, 0)
        flat = torch.from_numpy(x.reshape(-1, D_MODEL))
        order = torch.from_numpy(np.argsort(~splits.token_fit.ravel(), kind="stable"))
        fit_rows = int(splits.token_fit.sum())
        start = time.perf_counter()
        prepare(
            folder, activations=str(folder / "x.npy"), fit_share=FIT_SHARE, folds=5, split_seed=0, eigen_cutoff=1e-12
        )
        prepared = read_prepared(folder, splits)
        shared = time.perf_counter() - start
        only_token = type(prepared)(prepared.x_shift, {"token": prepared.factors["token"]})
        times: dict[str, list[float]] = {"published": [], "ours": []}
        for seed in range(given.saes):
            index, value, decoder = make_sae(seed, len(flat))
            shape = (given.contexts, POSITIONS, K)
            l0 = np.full(shape[:2], K, dtype=np.int32)
            sample = SaeSample(x, index.reshape(shape), value.reshape(shape), l0, decoder, splits, only_token)
            error = torch.cat([torch.sub(*sample.context(context)) for context in range(given.contexts)])
            start = time.perf_counter()
            theirs = published(flat, error, order, fit_rows)
            times["published"].append(time.perf_counter() - start)
            start = time.perf_counter()
            mine = ours(sample)
            times["ours"].append(time.perf_counter() - start)
            print(
                f"SAE {seed}: published {times['published'][-1]:.2f} s (R² {theirs:.6f}, no intercept), "
                f"ours {times['ours'][-1]:.2f} s (R² {mine:.6f})",
                flush=True,
            )
    totals = sum(times["published"]), shared + sum(times["ours"])
    print(
        f"{given.saes} SAEs, {given.contexts * POSITIONS} rows, {torch.get_num_threads()} threads: published "
        f"{totals[0]:.1f} s, ours {totals[1]:.1f} s of which {shared:.1f} s are the shared moments (of all splits); "
        f"ratio {totals[0] / totals[1]:.1f}; median per SAE {statistics.median(times['published']):.2f} s and "
        f"{statistics.median(times['ours']):.2f} s"
    )


if __name__ == "__main__":
    main()
