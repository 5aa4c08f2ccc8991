"""The regressions of one hookpoint: shared float64 moments against float32 least squares for each SAE and target.

12 SAEs; for each the error vector (Eq. 11) and five squared norms (Eq. 10), one split; x and Sae(x) lie in memory on
both sides. The rival solves `torch.linalg.lstsq` per SAE and per target from the whole design matrix, through the
origin. Ours shares the moments of x and solves every target from them, with an intercept. Each is compared with
float64 least squares of the problem that it solves.
"""

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from darkmatter.decomposition.passes import error_maps
from darkmatter.decomposition.samples import SaeSample
from darkmatter.decomposition.shared_moments import Prepared, float32_mean, shift
from darkmatter.models.activation_files import open_activations
from darkmatter.regression.least_squares import factorise, fit
from darkmatter.regression.moments import CrossMomentsFitter, make_blocks
from darkmatter.regression.splits import Splits, draw_splits
from darkmatter.regression.symmetric_moments import SymmetricMomentsFitter
from darkmatter.saes.reconstructions import open_reconstructions
from tests.benches.interleaved import Check, Limit, Peaks, Row, interleave, timed

GROUP = "Regressions of one hookpoint"
HOOKPOINT, SAES = "resid_post.14", 12
FIT_SHARE, CUTOFF, NORMS = 150 / 247, 1e-12, 5
GOAL, DIGITS = 10.0, 3.0


@dataclass(frozen=True)
class Kept:
    """Sae(x) of every row, [context, position, d_model], as a sample reads it."""

    rows: Tensor

    def context(self, number: int) -> Tensor:
        return self.rows[number]


def real_hookpoint(data: Path, contexts: int, saes: int) -> tuple[np.ndarray, list[Tensor]]:
    """Activations of the first contexts, and Sae(x) of the same rows for some SAEs trained there."""
    activations = open_activations(data / "activations" / "eval" / HOOKPOINT)
    x = np.stack([np.array(activations[number]) for number in range(contexts)])
    rebuilt = []
    for codes in sorted((data / "codes" / HOOKPOINT).iterdir())[:saes]:
        sae = data / "saes" / HOOKPOINT / codes.name
        opened = open_reconstructions(str(codes / "codes.npz"), str(sae), *activations.shape[:2])
        rebuilt.append(torch.stack([opened.context(number) for number in range(contexts)]))
    return x, rebuilt


def made_up_hookpoint(contexts: int, positions: int, d_model: int, saes: int) -> tuple[np.ndarray, list[Tensor]]:
    """Rows whose variance falls as a power law, and Sae(x) that shrinks them, bends them and adds noise."""
    random = np.random.default_rng(0)
    basis, _ = np.linalg.qr(random.standard_normal((d_model, d_model)))
    scaled = (10 * basis * np.arange(1, d_model + 1) ** -0.5).astype(np.float32)
    x = random.standard_normal((contexts, positions, d_model), dtype=np.float32) @ scaled
    centre = torch.from_numpy(x.mean((0, 1)))
    rebuilt = []
    for number in range(saes):
        centred = torch.from_numpy(x) - centre
        noise = torch.randn(centred.shape, generator=torch.Generator().manual_seed(number)) * 0.05
        rebuilt.append(centre + 0.8 * centred + 0.1 * torch.tanh(centred) + noise)
    return x, rebuilt


def published(x: Tensor, sae: Tensor, fitted: Tensor) -> list[float]:
    """R² of the error vector and of the five norms, on the rows that were not fitted, as the published code has it."""
    inside, outside = x[fitted], x[~fitted]
    error = x - sae
    linear = x @ torch.linalg.lstsq(inside, error[fitted], rcond=1e-9).solution
    scores = [r2(error[~fitted], linear[~fitted])]
    for vector in (x, sae, error, linear, error - linear):
        target = vector.square().sum(1, keepdim=True)
        probe = torch.linalg.lstsq(inside, target[fitted], rcond=1e-9).solution
        scores.append(r2(target[~fitted], outside @ probe))
    return scores


def r2(target: Tensor, predicted: Tensor) -> float:
    left, spread = (target - predicted).square().sum(0), (target - target.mean(0)).square().sum(0)
    return float((1 - left / spread).mean())


def reference(x: Tensor, sae: Tensor, fitted: Tensor, intercept: bool) -> list[float]:
    """The same in float64, by QR of the centred and scaled design."""
    x, sae = x.double(), sae.double()
    design = x - x.mean(0) if intercept else x
    design = design / design.square().mean(0).sqrt()
    if intercept:
        design = torch.cat([design, torch.ones(len(x), 1, dtype=x.dtype)], 1)
    Q, R = torch.linalg.qr(design[fitted])

    def predicted(target: Tensor) -> Tensor:
        return design @ torch.linalg.solve_triangular(R, Q.T @ target[fitted], upper=True)

    error = x - sae
    linear = predicted(error)
    scores = [r2(error[~fitted], linear[~fitted])]
    for vector in (x, sae, error, linear, error - linear):
        target = vector.square().sum(1, keepdim=True)
        scores.append(r2(target[~fitted], predicted(target)[~fitted]))
    return scores


def share(x: np.ndarray, splits: Splits) -> Prepared:
    """What all SAEs share: the moments of x, factored."""
    x_shift = float32_mean(x, splits.kept, "activations")
    shared = SymmetricMomentsFitter(make_blocks(splits), x.shape[-1])
    for context in range(len(x)):
        shared.update(context, shift(x[context], x_shift))
    return Prepared(x_shift, {"token": factorise(shared.fit_set("token"), CUTOFF)}, splits.kept)


def one_sae(sample: SaeSample) -> list[float]:
    """The same numbers with intercepts, of one SAE."""
    splits, x_shift, dtype = sample.splits, sample.prepared.x_shift, sample.prepared.products
    contexts, positions, d_model = sample.x.shape
    (error_map,) = error_maps(sample).values()
    weight, intercept = error_map.weight.to(dtype), error_map.intercept.to(dtype)
    held_out = torch.from_numpy(~splits.token_fit).double()
    sums = torch.zeros(3, d_model, dtype=torch.float64)
    norms = torch.zeros(contexts, positions, NORMS, dtype=torch.float64)
    for context in range(contexts):
        x, sae = sample.context(context)
        error = x - sae
        linear = (x - x_shift.to(dtype)) @ weight + intercept
        nonlinear = error - linear
        sums += torch.stack([held_out[context] @ part.double() for part in (error, error**2, nonlinear**2)])
        for column, vector in enumerate((x, sae, error, linear, nonlinear)):
            norms[context, :, column] = vector.square().sum(1, dtype=torch.float64)
    return [spread_r2(sums, held_out.sum()), *norm_scores(sample, norms, held_out)]


def spread_r2(sums: Tensor, rows: Tensor) -> float:
    return float((1 - sums[2] / (sums[1] - sums[0] ** 2 / rows)).mean())


def norm_scores(sample: SaeSample, norms: Tensor, held_out: Tensor) -> list[float]:
    x_shift, means = sample.prepared.x_shift, norms.mean((0, 1))
    fitter = CrossMomentsFitter(sample.blocks, sample.x.shape[-1], NORMS)
    for context in range(len(sample.x)):
        fitter.update(context, shift(sample.x[context], x_shift), norms[context] - means)
    probe = fit(sample.prepared.factors["token"], fitter.fit_set("token"), x_shift, means)
    left = torch.zeros(NORMS, dtype=torch.float64)
    for context in range(len(sample.x)):
        predicted = shift(sample.x[context], x_shift) @ probe.weight + probe.intercept
        left += held_out[context] @ (norms[context] - predicted).square()
    centred = norms - (held_out[..., None] * norms).sum((0, 1)) / held_out.sum()
    spread = (held_out[..., None] * centred.square()).sum((0, 1))
    return (1 - left / spread).tolist()


def digits(scores: list[float], wanted: list[float]) -> float:
    """Decimal digits that all scores have in common with the float64 ones."""
    worst = max(abs(score - value) for score, value in zip(scores, wanted, strict=True))
    return -np.log10(max(worst, 1e-16))


def measure(name: str, x: np.ndarray, rebuilt: list[Tensor], pairs: int, peaks: Peaks) -> Row:
    """Both sides on the same few SAEs in turn, scaled to SAES; what SAEs share is timed apart and counted once."""
    contexts, positions, d_model = x.shape
    splits = draw_splits(contexts, positions, FIT_SHARE, 2, 0)
    splits = replace(splits, fold=np.zeros_like(splits.fold))  # no cross-fitting, which the rival has not either
    flat, fitted = torch.from_numpy(x.reshape(-1, d_model)), torch.from_numpy(splits.token_fit.ravel())
    once, prepared = timed(lambda: share(x, splits))
    scale = SAES / len(rebuilt)
    result = interleave(
        lambda: [one_sae(SaeSample(x, Kept(sae), splits, prepared)) for sae in rebuilt],
        lambda: [published(flat, sae.reshape(-1, d_model), fitted) for sae in rebuilt],
        pairs,
        scale,
    )
    result = replace(result, ours=[once + scale * seconds for seconds in result.ours])
    mine, theirs = (
        digits(scores[0], reference(flat, rebuilt[0].reshape(-1, d_model), fitted, intercept))
        for scores, intercept in zip(result.results, (True, False), strict=True)
    )
    rows, products = len(flat), prepared.products
    peak = peaks.float32 if products == torch.float32 else peaks.float64
    # per SAE: its cross moments, and its linear part of every row; of all: the moments of x
    least = SAES * 2 * 2 * rows * d_model**2 / peak + rows * d_model**2 / peaks.float64
    return Row(
        GROUP,
        name,
        "float32 `torch.linalg.lstsq` per SAE and target",
        GOAL,
        result,
        checks=(Check("digits nearer to float64", mine - theirs, DIGITS, True),),
        limit=Limit(f"{str(products).removeprefix('torch.')} matrix products", least / min(result.ours)),
        note=f"{rows:,} rows; both sides timed on {len(rebuilt)} of {SAES} SAEs, and scaled; what SAEs share "
        f"({once:.1f} s) counts once. R² agrees with float64 to {mine:.1f} digits, the rival's to {theirs:.1f}.",
    )


def rows(data: Path, peaks: Peaks) -> list[Row]:
    return [
        measure(f"d_model 576, {HOOKPOINT} of SmolLM2", *real_hookpoint(data, 16, 2), 3, peaks),
        measure("d_model 2,304, made up", *made_up_hookpoint(16, 823, 2304, 1), 2, peaks),
    ]
