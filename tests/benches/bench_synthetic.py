"""The noise grid of appendix C.3 from moments against refitting every cell, on the same rows, in one process.

Synthetic rows of the default profile's size (d_model 576, 33k rows, 25 noise settings, 6 ablations), so that no data
are needed. Refitting solves float32 least squares in sample with `torch.linalg.lstsq`, as the published code; of its
150 cells a few are timed and stand for the rest. Moments serve all cells, both held-out splits beside the in-sample
fit, in float64. Encoding and noise are left out on both sides. CPU seconds of one thread, so that other work on the
machine counts little.

    python -m tests.benches.bench_synthetic [--contexts 40] [--cells 3]
"""

import argparse
import time

import numpy as np
import torch

from darkmatter.experiments.synthetic_noise.cells import fvu_cells
from darkmatter.experiments.synthetic_noise.compute import FOLDS, GROUP, draw_noise, grid_sums
from darkmatter.experiments.synthetic_noise.noise_moments import VARIANTS, CleanMoments, NoiseMoments, make_row_blocks
from darkmatter.regression.splits import draw_splits

POSITIONS, D_MODEL = 823, 576
DEVIATIONS = np.array([0.0, 0.25, 0.5, 0.75, 1.0])
SHARES = (0.0, 0.1, 0.2, 0.3, 0.4, 0.5)


def make_rows(contexts: int) -> tuple[torch.Tensor, torch.Tensor]:
    """x' [row, d_model] with variance falling as a power law, and P_f [row, share, d_model]: float32."""
    random = np.random.default_rng(0)
    basis, _ = np.linalg.qr(random.standard_normal((D_MODEL, D_MODEL)))
    scaled = torch.from_numpy((10 * basis * np.arange(1, D_MODEL + 1) ** -0.5).astype(np.float32))
    rows = random.standard_normal((contexts * POSITIONS, D_MODEL), dtype=np.float32)
    x = torch.from_numpy(rows) @ scaled
    kept = [x * (1 - 0.1 * share) - 0.1 * torch.tanh(x) * (1 + share) for share in SHARES]
    return x, torch.stack(kept, 1)


def refit(x: torch.Tensor, sae: torch.Tensor) -> tuple[float, float]:
    """FVU and FVU_nonlinear of one cell."""
    design = torch.cat([x, torch.ones(len(x), 1)], 1)
    error = x - sae
    left = error - design @ torch.linalg.lstsq(design, error, rcond=1e-9).solution
    spread = (x - x.mean(0)).square().sum(dtype=torch.float64)
    return tuple(float(part.square().sum(dtype=torch.float64) / spread) for part in (error, left))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--contexts", type=int, default=40, help=f"of {POSITIONS} rows each, a multiple of {GROUP}")
    parser.add_argument("--cells", type=int, default=3, help="how many cells are refitted")
    given = parser.parse_args()
    torch.set_num_threads(1)
    x, p = make_rows(given.contexts)
    rows = GROUP * POSITIONS
    groups = len(x) // rows
    drawn = [draw_noise(0, group, (rows, D_MODEL)) for group in range(groups)]
    splits = draw_splits(given.contexts, POSITIONS, 150 / 247, FOLDS, 0)

    start = time.process_time()
    blocks = make_row_blocks(splits, GROUP)
    shift = x.mean(0).double()
    clean, noise = (kind(blocks, D_MODEL, len(SHARES)) for kind in (CleanMoments, NoiseMoments))
    for group, pair in enumerate(drawn):
        chosen = slice(group * rows, (group + 1) * rows)
        shifted = x[chosen].double() - shift, p[chosen].double() - shift
        clean.update(group, *shifted)
        noise.update(group, *shifted, *pair)
    sums = grid_sums(clean, noise, shift, DEVIATIONS.tolist(), 1e-12)
    fvu, nonlinear = fvu_cells(sums, "in_sample", "spread", DEVIATIONS)
    ours = time.process_time() - start

    a, r = (torch.cat([pair[side] for pair in drawn]).float() for side in (0, 1))
    cells = [(i, j, f) for i in range(5) for j in range(5) for f in range(len(SHARES))]
    chosen_cells = [cells[number] for number in np.linspace(0, len(cells) - 1, given.cells).astype(int)]
    times, gap = [], 0.0
    for i, j, f in chosen_cells:
        start = time.process_time()
        result = refit(x + float(DEVIATIONS[i]) * a, p[:, f] + float(DEVIATIONS[j]) * r)
        times.append(time.process_time() - start)
        gap = max(gap, abs(result[0] - fvu[i, j, f]), abs(result[1] - nonlinear[i, j, f]))
    per_cell, fits = float(np.mean(times)), len(cells) * len(VARIANTS)
    print(
        f"{len(x)} rows, one thread, CPU seconds: refitting {per_cell:.2f} s a cell (mean of {len(times)}); moments "
        f"{ours:.1f} s for {len(cells)} cells, each in sample and on both held-out splits: {ours / fits:.3f} s a fit, "
        f"ratio {per_cell * fits / ours:.0f} (against refits in sample alone {per_cell * len(cells) / ours:.0f}); "
        f"FVU and FVU_nonlinear of the two differ by at most {gap:.1e}"
    )


if __name__ == "__main__":
    main()
