"""Sums of every dimension, rounded until git can hold them: whole numbers of a unit that each dimension has.

A unit is a small share of what a context adds to a dimension on average, and totals over contexts are right to half a
unit. So an R² that averages over hundreds of dimensions moves by some 1e-6, a thousandth of its interval. In float32
the same sums would take four times the room. Only contexts with held-out rows are kept, and of row sets only those that
are held out.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from jaxtyping import Float

from darkmatter.decomposition.results import MOMENTS
from darkmatter.params.conventions import CONVENTIONS, PRIMARY
from darkmatter.regression.splits import ROW_SETS, SPLITS
from darkmatter.storage.artifacts import read_arrays
from darkmatter.storage.packed_sums import gather

OF_SQUARES = 1 / 320  # of the mean of Σe² over contexts: unit of Σe² and of Σ nonlinear²
OF_SUMS = 1 / 8  # of the root mean square of Σe: it enters R² through its square alone, which is small
OF_X = 1 / 512  # of the root mean square of Σx̃, and of the mean of Σx̃²
MOST = 6_000_000  # numbers of one hookpoint: about 6 MB
SQUARE, SUM, X_SQUARE, X_SUM = "error_square", "error_sum", "x_square", "x_sum"
PAPER, LESS_PAPER = "nonlinear_paper", "nonlinear_authors_minus_paper"
DIMENSION_SUMS = "dimension_sums.npz"
KEPT = 4  # arrays of an SAE and a split
DIMENSIONS = "dimensions"  # SAE/dimensions/…: apart from the scalar sums of the same SAE

Sums = Mapping[str, np.ndarray]
Arrays = dict[str, np.ndarray]


def committed_dimensions(folder: Path, names: Sequence[str]) -> Arrays:
    """What the committed .npz of a hookpoint has of every dimension: `x_sum`, `x_square`, `SAE/dimensions/SPLIT/NAME`.

    Nothing where it would be too much for git: claims are then judged on the sums below data/.

    Args:
        folder: `moments/activations.npz`, and `SAE/dimension_sums.npz` of each of the names.
    """
    shared = read_arrays(folder / MOMENTS)
    rows = shared["rows"]
    if not fit_for_git(rows, shared["x_sum"].shape[-1], len(names)):
        return {}
    own = {name: rounded(rows, read_arrays(folder / name / DIMENSION_SUMS)) for name in names}
    return rounded_x(rows, shared) | gather({f"{name}/{DIMENSIONS}": arrays for name, arrays in own.items()})


def fit_for_git(rows: np.ndarray, d_model: int, saes: int) -> bool:
    """Whether the rounded sums of so many SAEs are few enough."""
    return saes * KEPT * sum(map(len, scored(rows).values())) * d_model <= MOST


def scored(rows: np.ndarray) -> dict[str, np.ndarray]:
    """The contexts with held-out rows of each split."""
    return {split: np.flatnonzero(rows[place]) for place, split in enumerate(SPLITS)}


def rounded_x(rows: np.ndarray, x_sums: Sums) -> Arrays:
    """What all SAEs of a hookpoint share: x̃ under the split that claims are judged by.

    Args:
        rows: [row set, context]
        x_sums: `x_sum`, `x_square` [row set, context, d_model].
    """
    split = PRIMARY[0]
    total, square = (x_sums[name][SPLITS.index(split)][scored(rows)[split]] for name in (X_SUM, X_SQUARE))
    return packed(X_SUM, total, OF_X * root_mean_square(total)) | packed(X_SQUARE, square, OF_X * square.mean(0))


def rounded(rows: np.ndarray, sums: Sums, splits: Sequence[str] = SPLITS) -> Arrays:
    """The sums of one SAE under both conventions.

    Of the conventions of the published code only the difference from the paper's is kept, which is small.

    Args:
        rows: [row set, context]
        sums: `error_sum`, `error_square`, `nonlinear/SPLIT/CONVENTION` [row set, context, d_model].
    """
    result: Arrays = {}
    for split in splits:
        place = SPLITS.index(split)
        names = {SQUARE: SQUARE, SUM: SUM, **{way: f"nonlinear/{split}/{way}" for way in CONVENTIONS}}
        parts = {short: sums[name][place][scored(rows)[split]] for short, name in names.items()}
        kept = packed(SUM, parts[SUM], OF_SUMS * root_mean_square(parts[SUM]))
        kept |= packed(SQUARE, parts[SQUARE], OF_SQUARES * parts[SQUARE].mean(0))
        paper, authors = (whole(parts[way] / kept[unit_of(SQUARE)]) for way in CONVENTIONS)
        kept |= {PAPER: smallest(paper), LESS_PAPER: smallest(authors - paper)}
        result |= {f"{split}/{name}": array for name, array in kept.items()}
    return result


def root_mean_square(array: np.ndarray) -> np.ndarray:
    return np.sqrt((array**2).mean(0))


def unit_of(name: str) -> str:
    return f"{name}_unit"


def packed(name: str, array: np.ndarray, unit: np.ndarray) -> Arrays:
    """[context, d_model] in units of each dimension; one that is zero throughout has the unit 1."""
    unit = np.where(unit > 0, unit, 1).astype(np.float32)
    return {name: smallest(whole(array / unit)), unit_of(name): unit}


def whole(numbers: np.ndarray) -> np.ndarray:
    """Rounded so that the total over contexts is right to half a unit, too: the steps of the rounded running total."""
    return np.diff(np.rint(np.cumsum(numbers, axis=0)), axis=0, prepend=0)


def smallest(numbers: np.ndarray) -> np.ndarray:
    """Whole numbers, as the smallest integers that hold them."""
    most = abs(numbers).max(initial=0)
    return numbers.astype(next(kind for kind in (np.int8, np.int16, np.int32) if most <= np.iinfo(kind).max))


def restored_x(rows: np.ndarray, arrays: Sums) -> Arrays:
    """`x_sum` and `x_square` as `rounded_x` was given them, NaN where they were not kept."""
    split = PRIMARY[0]
    return {name: spread(rows, split, arrays[name] * units(arrays, name)) for name in (X_SUM, X_SQUARE)}


def restored(rows: np.ndarray, arrays: Sums) -> Arrays:
    """The sums of one SAE as `rounded` was given them, NaN in row sets that were not kept."""
    result: Arrays = {}
    for place, split in enumerate(SPLITS):
        own = {key.removeprefix(f"{split}/"): array for key, array in arrays.items() if key.startswith(f"{split}/")}
        if not own:
            continue
        unit, paper = units(own, SQUARE), own[PAPER].astype(np.int64)
        kept = {SQUARE: own[SQUARE] * unit, SUM: own[SUM] * units(own, SUM)}
        for name, array in kept.items():
            result.setdefault(name, np.full((len(ROW_SETS), rows.shape[1], array.shape[1]), np.nan))
            result[name][place, scored(rows)[split]] = array
        for way, counted in zip(CONVENTIONS, (paper, paper + own[LESS_PAPER]), strict=True):
            result[f"nonlinear/{split}/{way}"] = spread(rows, split, counted * unit)
    return result


def units(arrays: Sums, name: str) -> np.ndarray:
    return arrays[unit_of(name)].astype(np.float64)


def spread(rows: np.ndarray, split: str, held_out: np.ndarray) -> Float[np.ndarray, "set context d_model"]:
    """At its row set and contexts; NaN elsewhere, so that a number that asks for more is none."""
    result = np.full((len(ROW_SETS), rows.shape[1], held_out.shape[1]), np.nan)
    result[SPLITS.index(split), scored(rows)[split]] = held_out
    return result
