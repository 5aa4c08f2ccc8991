"""The noise grid of appendix C.3 from moments, against encoding and fitting every cell again, on the same rows.

Made-up rows of d_model 576, a TopK SAE of 2,048 latents, 25 noise settings and 6 ablations. For a cell the rival
encodes x', ablates, decodes, adds the noise and solves float32 least squares in sample, as the published code; of the
150 cells a few are timed and stand for the rest. Ours encodes once, ablates once for each share, and takes all cells
from moments, in float64, both held-out splits beside the fit in sample. The draws of noise are left out on both sides.
"""

from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import embedding_bag, normalize

from darkmatter.experiments.synthetic_noise.cells import fvu_cells
from darkmatter.experiments.synthetic_noise.compute import FOLDS, GROUP, draw_noise, grid_sums
from darkmatter.experiments.synthetic_noise.noise_moments import VARIANTS, CleanMoments, NoiseMoments, make_row_blocks
from darkmatter.regression.splits import Splits, draw_splits
from tests.benches.interleaved import Check, Limit, Peaks, Row, interleave

CONTEXTS, POSITIONS, D_MODEL, D_SAE, K = 16, 823, 576, 2048, 32
DEVIATIONS = np.array([0.0, 0.25, 0.5, 0.75, 1.0])
SHARES = (0.0, 0.1, 0.2, 0.3, 0.4, 0.5)
CELLS = [(i, j, f) for i in range(len(DEVIATIONS)) for j in range(len(DEVIATIONS)) for f in range(len(SHARES))]
TIMED, PAIRS, GOAL, GAP = 5, 3, 50.0, 1e-4


def make_rows() -> tuple[Tensor, Tensor]:
    """x' with variance falling as a power law, and the SAE's tied weights."""
    random = np.random.default_rng(0)
    basis, _ = np.linalg.qr(random.standard_normal((D_MODEL, D_MODEL)))
    scaled = torch.from_numpy((10 * basis * np.arange(1, D_MODEL + 1) ** -0.5).astype(np.float32))
    x = torch.from_numpy(random.standard_normal((CONTEXTS * POSITIONS, D_MODEL), dtype=np.float32)) @ scaled
    return x, normalize(torch.randn(D_SAE, D_MODEL, generator=torch.Generator().manual_seed(0)))


def encode(x: Tensor, W: Tensor) -> tuple[Tensor, Tensor]:
    """Values and latents of the K largest, the largest first: ablation takes them from the end."""
    chosen = (x @ W.T).topk(K, dim=1)
    return chosen.values.clamp(min=0), chosen.indices


def ablated(codes: tuple[Tensor, Tensor], share: float, W: Tensor) -> Tensor:
    values, latents = (part[:, : round(K * (1 - share))] for part in codes)
    return 0.3 * embedding_bag(latents, W, per_sample_weights=values.contiguous(), mode="sum")


def refit(x: Tensor, W: Tensor, cell: tuple[int, int, int], noise: tuple[Tensor, Tensor]) -> tuple[float, float]:
    """FVU and FVU_nonlinear of one cell."""
    i, j, f = cell
    sae = ablated(encode(x, W), SHARES[f], W) + float(DEVIATIONS[j]) * noise[1]
    x = x + float(DEVIATIONS[i]) * noise[0]
    design = torch.cat([x, torch.ones(len(x), 1)], 1)
    error = x - sae
    left = error - design @ torch.linalg.lstsq(design, error, rcond=1e-9).solution
    spread = (x - x.mean(0)).square().sum(dtype=torch.float64)
    return tuple(float(part.square().sum(dtype=torch.float64) / spread) for part in (error, left))


def from_moments(x: Tensor, W: Tensor, drawn: list, splits: Splits) -> tuple[np.ndarray, np.ndarray]:
    codes = encode(x, W)
    p = torch.stack([ablated(codes, share, W) for share in SHARES], 1)
    blocks, shift = make_row_blocks(splits, GROUP), x.mean(0).double()
    clean, noise = (kind(blocks, D_MODEL, len(SHARES)) for kind in (CleanMoments, NoiseMoments))
    for group, pair in enumerate(drawn):
        chosen = slice(group * GROUP * POSITIONS, (group + 1) * GROUP * POSITIONS)
        shifted = x[chosen].double() - shift, p[chosen].double() - shift
        clean.update(group, *shifted)
        noise.update(group, *shifted, *pair)
    sums = grid_sums(clean, noise, shift, DEVIATIONS.tolist(), 1e-12)
    return fvu_cells(sums, "in_sample", "spread", DEVIATIONS)


def rows(data: Path, peaks: Peaks) -> list[Row]:
    x, W = make_rows()
    drawn = [draw_noise(0, group, (GROUP * POSITIONS, D_MODEL)) for group in range(CONTEXTS // GROUP)]
    noise = tuple(torch.cat([pair[side] for pair in drawn]).float() for side in (0, 1))
    splits = draw_splits(CONTEXTS, POSITIONS, 150 / 247, FOLDS, 0)
    cells = [CELLS[number] for number in np.linspace(0, len(CELLS) - 1, TIMED).astype(int)]
    pairs = interleave(
        lambda: from_moments(x, W, drawn, splits),
        lambda: [refit(x, W, cell, noise) for cell in cells],
        PAIRS,
        len(CELLS) / TIMED,
    )
    (fvu, nonlinear), again = pairs.results
    gap = max(max(abs(a - fvu[cell]), abs(b - nonlinear[cell])) for cell, (a, b) in zip(cells, again, strict=True))
    # x' and A with themselves (symmetric: half), with each other, with R and with what each ablation leaves
    products = 2 / 2 + 1 + 2 + 2 * len(SHARES)
    # of each fit, at each deviation of the noise on x: the maps of A, R and every E_f, and their quadratic forms
    maps = 2 * len(VARIANTS) * len(DEVIATIONS) * (2 + len(SHARES)) * D_MODEL
    least = 2 * D_MODEL**2 * (len(x) * products + maps) / peaks.float64
    return [
        Row(
            "Noise grid of C.3",
            f"{len(CELLS)} cells",
            "encode and fit every cell again",
            GOAL,
            pairs,
            checks=(Check("largest difference of FVU and FVU_nonlinear", gap, GAP, False),),
            limit=Limit(
                "float64 products of the moments, of the maps and of their quadratic forms", least / min(pairs.ours)
            ),
            note=f"{len(x):,} rows. Rival timed on {TIMED} cells in sample, and scaled; ours has both held-out splits "
            "as well.",
        )
    ]
