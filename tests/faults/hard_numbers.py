"""Numbers that are hard to compute: least squares against scipy's, coverage, and what must change nothing."""

import functools
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import scipy.linalg
import torch

from darkmatter.decomposition.shared_moments import FILE, prepare
from darkmatter.regression.held_out_regression import regress
from darkmatter.regression.splits import draw_splits
from darkmatter.runner import units
from darkmatter.runner.units import Unit, run_units
from darkmatter.statistics.bootstrap import ContextBootstrap
from darkmatter.statistics.r2_estimates import r2_estimates
from darkmatter.storage.artifacts import sha256_file
from tests.faults.trial import SURVIVED, UNCLEAR, WRONG, Trial, never, try_read

GROUP = "hard_numbers"
ROOT = Path(__file__).parents[2]
CONTEXTS, POSITIONS, REGRESSORS, TARGETS = 12, 60, 24, 3
SPLITS = draw_splits(CONTEXTS, POSITIONS, 0.6, 3, 0)
CUTOFF, TOLERANCE = 1e-12, 1e-9
BOOTSTRAP = {"resamples": 100, "level": 0.95, "seed": 0}
SEEDS = 7  # of each kind of fixture
# As measured in the default profile at resid_post.14, over its SAEs: squared error and squared norm of x of a row.
ERROR, NORM = {"correlation": 0.08, "variation": 0.61}, {"correlation": 0.062, "variation": 0.24}
WORLDS, SCORED_CONTEXTS, SCORED_ROWS, RESAMPLES = 500, 39, 330, 500
KERNELS = ("Nehalem", "Sandybridge", "Haswell", "SkylakeX")
Array = np.ndarray


def trials(every: int = 1) -> Iterator[Trial]:
    cases = [functools.partial(against_scipy, kind, seed) for kind in KINDS for seed in range(SEEDS)]
    cases += [functools.partial(too_few_rows, seed) for seed in range(SEEDS)]
    cases += [functools.partial(unchanged, name, seed) for name in CHANGES for seed in range(2)]
    cases += [coverage, executors, *(functools.partial(kernel, name) for name in KERNELS)]
    for case in cases[::every]:
        yield case()


def plain(random: np.random.Generator) -> Array:
    x = random.standard_normal((CONTEXTS, POSITIONS, REGRESSORS)) @ random.standard_normal((REGRESSORS, REGRESSORS))
    return x + 5 * random.standard_normal(REGRESSORS) + random.standard_normal((CONTEXTS, 1, 1))


def ill_conditioned(random: np.random.Generator) -> Array:
    """Singular values over five orders of magnitude."""
    x = random.standard_normal((CONTEXTS * POSITIONS, REGRESSORS))
    left, _, right = np.linalg.svd(x, full_matrices=False)
    return (left * np.geomspace(1, 1e-5, REGRESSORS) @ right).reshape(CONTEXTS, POSITIONS, REGRESSORS)


def rank_deficient(random: np.random.Generator) -> Array:
    """Twenty directions in twenty-four columns, as LayerNorm leaves one too few."""
    x = plain(random)
    return x[..., :20] @ random.standard_normal((20, REGRESSORS))


def massive(random: np.random.Generator) -> Array:
    """Two dimensions as language models have them: means 3000 and -800, deviations of order 1."""
    x = plain(random)
    x[..., 3] += 3000
    x[..., 7] -= 800
    return x


def duplicated(random: np.random.Generator) -> Array:
    x = plain(random)
    x[..., 5], x[..., 9] = x[..., 2], -3 * x[..., 2]
    return x


def constant(random: np.random.Generator) -> Array:
    x = plain(random)
    x[..., 4] = 7.0
    x[..., 11] = 0.0
    return x


def tiny_and_huge(random: np.random.Generator) -> Array:
    """Columns of size 1e-8 to 1e8."""
    return plain(random) * np.geomspace(1e-8, 1e8, REGRESSORS)


KINDS: dict[str, Callable[[np.random.Generator], Array]] = {
    "plain": plain,
    "ill-conditioned": ill_conditioned,
    "rank-deficient": rank_deficient,
    "massive dimensions": massive,
    "duplicated columns": duplicated,
    "constant columns": constant,
    "columns of size 1e-8 to 1e8": tiny_and_huge,
}


def targets(x: Array, random: np.random.Generator) -> Array:
    """A linear function of the standardised columns, and noise."""
    flat = x.reshape(-1, REGRESSORS)
    deviation = flat.std(0)
    scaled = (x - flat.mean(0)) / np.where(deviation > 1e-9 * np.abs(flat).max(0), deviation, 1)
    noise = random.standard_normal((CONTEXTS, POSITIONS, TARGETS))
    return scaled @ random.standard_normal((REGRESSORS, TARGETS)) + 3 + noise


def ours(x: Array, t: Array) -> dict[str, float]:
    """R² of each split, with intercept."""
    rows = lambda context: (torch.from_numpy(x[context]), torch.from_numpy(t[context]))  # noqa: E731
    fitted = regress(rows, SPLITS, CUTOFF)
    estimates = r2_estimates(fitted.sums, fitted.rank, BOOTSTRAP)
    return {split: estimates[split]["paper"]["value"] for split in ("token", "context")}


def dense(x: Array, t: Array) -> dict[str, float]:
    """The same by scipy.linalg.lstsq on all rows at once, in float64.

    Columns are standardised first, which changes no prediction; scipy's cutoff is relative to the largest column.
    """
    result = {}
    for split in ("token", "context"):
        fitted = SPLITS.fits_on(split)
        mean, deviation = x[fitted].mean(0), x[fitted].std(0)
        varies = deviation > 1e-12 * np.abs(x[fitted]).max(0)
        scaled = (x[..., varies] - mean[varies]) / deviation[varies]
        design = np.concatenate([scaled, np.ones((CONTEXTS, POSITIONS, 1))], -1)
        coefficients = scipy.linalg.lstsq(design[fitted], t[fitted], cond=1e-7)[0]
        scored = ~fitted
        left = ((t[scored] - design[scored] @ coefficients) ** 2).sum(0)
        result[split] = float(np.mean(1 - left / ((t[scored] - t[scored].mean(0)) ** 2).sum(0)))
    return result


def fixture(kind: str, seed: int) -> tuple[Array, Array]:
    random = np.random.default_rng([seed, list(KINDS).index(kind)])
    x = KINDS[kind](random)
    return x, targets(x, random)


def gap(one: dict[str, float], other: dict[str, float]) -> float:
    return max(abs(one[key] - other[key]) for key in one)


def judged(fault: str, target: str, off: float, tolerance: float = TOLERANCE) -> Trial:
    says = f"off by {off:.1e}, at most {tolerance:.0e}"
    return Trial(GROUP, fault, target, SURVIVED if off <= tolerance else WRONG, says)


def against_scipy(kind: str, seed: int) -> Trial:
    x, t = fixture(kind, seed)
    return judged("a hard fixture of least squares", kind, gap(ours(x, t), dense(x, t)))


def too_few_rows(seed: int) -> Trial:
    """Fewer rows than dimensions."""
    random = np.random.default_rng(seed)
    splits = draw_splits(4, 8, 0.6, 2, seed)
    x, t = random.standard_normal((4, 8, 40)), random.standard_normal((4, 8, 2))
    rows = lambda context: (torch.from_numpy(x[context]), torch.from_numpy(t[context]))  # noqa: E731
    return try_read(
        GROUP,
        "a hard fixture of least squares",
        "fewer rows than dimensions",
        lambda: regress(rows, splits, CUTOFF),
        never,
    )


def rescaled(x: Array, t: Array, random: np.random.Generator) -> tuple[Array, Array]:
    return x * random.uniform(0.01, 100, REGRESSORS) + random.standard_normal(REGRESSORS) * 10, t


def turned(x: Array, t: Array, random: np.random.Generator) -> tuple[Array, Array]:
    """Another basis of the same space."""
    return x @ np.linalg.qr(random.standard_normal((REGRESSORS, REGRESSORS)))[0], t


def moved_targets(x: Array, t: Array, random: np.random.Generator) -> tuple[Array, Array]:
    return x, t * 1e4 + 1e5


def reordered_columns(x: Array, t: Array, random: np.random.Generator) -> tuple[Array, Array]:
    return x[..., random.permutation(REGRESSORS)], t[..., ::-1].copy()


CHANGES = {
    "affine rescaling of the activations": rescaled,
    "another basis of the activations": turned,
    "affine rescaling of the targets": moved_targets,
    "order of columns": reordered_columns,
    "order of rows": None,
}


def unchanged(name: str, seed: int) -> Trial:
    x, t = fixture("massive dimensions", seed)
    random = np.random.default_rng(seed + 100)
    change = CHANGES[name]
    if change is not None:
        return judged("a change that must change nothing", name, gap(ours(x, t), ours(*change(x, t, random))))
    off = 0.0  # rows of one context that are fitted and scored alike, in another order
    before = ours(x, t)
    for context in range(CONTEXTS):
        for member in (True, False):
            places = np.flatnonzero(SPLITS.token_fit[context] == member)
            shuffled = random.permutation(places)
            x[context, places], t[context, places] = x[context, shuffled], t[context, shuffled]
    off = gap(before, ours(x, t))
    return judged("a change that must change nothing", name, off)


def nested(random: np.random.Generator, correlation: float, variation: float) -> Array:
    """Positive rows [context, row] of mean 1 with this intraclass correlation and coefficient of variation."""
    total = variation**2 / (1 - correlation)
    between = correlation * total
    within = (1 + total) / (1 + between) - 1
    contexts = random.gamma(1 / between, between, (SCORED_CONTEXTS, 1))
    return contexts * random.gamma(1 / within, within, (SCORED_CONTEXTS, SCORED_ROWS))


def coverage() -> Trial:
    """Share of the simulated worlds whose interval of Σ error / Σ norm holds the truth."""
    random = np.random.default_rng(0)
    held = 0
    for world in range(WORLDS):
        error, norm = (nested(random, **facts).sum(1) for facts in (ERROR, NORM))
        bootstrap = ContextBootstrap(SCORED_CONTEXTS, RESAMPLES, 0.95, world % 8)
        interval = bootstrap.interval(lambda weights, e=error, n=norm: (weights @ e) / (weights @ n))
        held += interval is not None and interval.low <= 1 <= interval.high
    share = held / WORLDS
    says = f"{share:.1%} of {WORLDS} worlds, intraclass correlation {ERROR['correlation']:g}"
    return Trial(
        GROUP, "rows that depend on their context", "95 % interval", SURVIVED if 0.93 <= share <= 0.97 else WRONG, says
    )


def executors() -> Trial:
    """One unit after the other, and two workers: the same bytes."""
    x = fixture("massive dimensions", 0)[0].astype(np.float32)
    with tempfile.TemporaryDirectory() as name, pytest.MonkeyPatch.context() as patch:
        folder = Path(name)
        np.save(folder / "x.npy", x)
        hashes = []
        for workers in ("1", "2", "3"):
            patch.setenv("DARKMATTER_WORKERS", workers)
            patch.setattr(units, "STORE", folder / f"store-{workers}")
            facts = {"fit_share": 0.6, "folds": 3, "device": "cpu", "outlier_norm_ratio": None, "eigen_cutoff": CUTOFF}
            own = [
                Unit(f"seed-{seed}", {"activations": folder / "x.npy", "split_seed": seed, **facts})
                for seed in range(3)
            ]
            run_units(prepare, own, folder / workers, "faults")
            hashes.append([sha256_file(folder / workers / unit.name / FILE) for unit in own])
    same = all(part == hashes[0] for part in hashes)
    return Trial(GROUP, "a change that must change nothing", "number of workers", SURVIVED if same else WRONG)


PROGRAM = """
import json, sys
import stages
import ctypes
from tests.faults.hard_numbers import LIBRARY, fixture, ours
name = ctypes.CDLL(LIBRARY).scipy_openblas_get_corename64_
name.restype = ctypes.c_char_p
print(json.dumps([name().decode(), [ours(*fixture(kind, 0)) for kind in ("plain", "massive dimensions")]]))
"""
LIBRARY = next(
    (str(path) for path in (Path(np.__file__).parent.parent / "numpy.libs").glob("libscipy_openblas64_*")), ""
)


def kernel(name: str) -> Trial:
    """Another kernel of OpenBLAS, in a process of its own. One that the CPU does not run, OpenBLAS replaces."""
    own = {**os.environ, "OPENBLAS_CORETYPE": name, "PYTHONPATH": os.pathsep.join([str(ROOT), *SHARED])}
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM], cwd=ROOT, env=own, capture_output=True, text=True, check=False
    )
    if done.returncode or not LIBRARY:
        return Trial(GROUP, "another kernel of BLAS", name, UNCLEAR, done.stderr[-300:])
    ran, results = json.loads(done.stdout.splitlines()[-1])
    here: list[Any] = [ours(*fixture(kind, 0)) for kind in ("plain", "massive dimensions")]
    trial = judged("another kernel of BLAS", name, max(gap(*pair) for pair in zip(results, here, strict=True)))
    return trial if trial.outcome != SURVIVED else Trial(GROUP, trial.fault, name, SURVIVED, f"{trial.says}; ran {ran}")


SHARED = [str(ROOT / "tests" / "support"), str(ROOT / "tests" / "fakes")]
