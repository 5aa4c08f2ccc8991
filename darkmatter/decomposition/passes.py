"""Decompose the error of one SAE: e = x − Sae(x) into a linear function of x and the rest (sections 4 and 5.1).

Four passes over the rows, one context at a time; error vectors are rebuilt from the codes and never stored.

1. Cross moments of x and e, block by block; b* for every fit set by back-substitution (Eq. 11).
2. b*·x for four maps at once: fitted on the token split, on the context split, on all rows (published code) and
   cross-fitted by folds of contexts. Leaves the per-token table and the per-context sums of squares.
3. Moments of x with the squared norms of all parts; a* for every fit set (Eq. 10, section 5.1).
4. Residuals of those probes, summed per context.

Of a transcoder e = y − T(x) with another activation y; the columns of the table that say x are then those of y.
"""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import cast

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from darkmatter.decomposition.results import DIMENSION_SUMS, SUMS
from darkmatter.decomposition.samples import SaeSample, open_sample
from darkmatter.decomposition.shared_moments import FILE, read_x_sums, shift
from darkmatter.regression.context_sums import RowSums, scalar_sums
from darkmatter.regression.least_squares import LinearMap, fit
from darkmatter.regression.moments import CrossMomentsFitter
from darkmatter.regression.splits import SPLITS
from darkmatter.saes.reconstructions import Reconstructions
from darkmatter.statistics.per_dimension import error_sums
from darkmatter.storage.artifacts import write_arrays

TABLE = "tokens.npz"  # per-token table: [context, position] each

Table = dict[str, Float[np.ndarray, "context position"]]
Sums = dict[str, np.ndarray]
Firings = tuple[Int[np.ndarray, "context position"], Bool[np.ndarray, " latent"]]
# (context, e, its linear part, the rest), rows [position, d_model]; the map is the one that did not see the context
Keep = Callable[[int, Tensor, Tensor, Tensor], object]


def decompose(
    out: Path,
    activations: str,
    prepared: str,
    codes: str,
    sae: str,
    fit_share: float,
    folds: int,
    split_seed: int,
    device: str = "cpu",
    each_dimension: bool = False,
) -> None:
    """Decompose the error of one SAE and write its table and sums (a unit of the decomposition stage).

    Args:
        activations: .npy, float32 [context, position, d_model].
        prepared: folder written by `shared_moments.prepare` for the same activations and splits.
        codes: .npz with `index`, `value` [row, slot] and `l0` [row].
        sae: folder of the SAE in sae-lens format, of which the decoder is read.
        device: where the passes compute.
        each_dimension: write DIMENSION_SUMS, too, for one who compares two SAEs dimension by dimension.

    Raises:
        ParamsError: there is no such device here.
        ArtifactError: the codes and the activations have different rows.
    """
    sample = open_sample(activations, prepared, codes, sae, fit_share, folds, split_seed, device)
    rebuilt = cast(Reconstructions, sample.sae)  # of stored codes, as `open_sample` opens them
    firings = rebuilt.index[(rebuilt.value != 0) & sample.splits.kept[..., None]]
    fired = np.bincount(firings, minlength=rebuilt.decoder.d_sae) > 0
    dimension_sums = write_sums(out, sample, read_x_sums(Path(prepared) / FILE), lambda: (rebuilt.l0, fired))
    if each_dimension:
        write_arrays(out / DIMENSION_SUMS, dimension_sums)


def write_sums(
    out: Path,
    sample: SaeSample,
    x_sums: Mapping[str, np.ndarray],
    firings: Callable[[], Firings],
    keep: Keep | None = None,
) -> Sums:
    """Make the passes and write TABLE and SUMS; return the sums of every dimension.

    SUMS holds [row set, context] each: sums of scalars, and squares pooled over dimensions; and what means over
    dimensions are made from (`per_dimension.error_sums`).

    Args:
        x_sums: `rows`, `x_sum` and `x_square` of what Sae(x) is to equal, as `shared_moments.prepare` writes them of x.
        firings: asked after the passes, since Sae(x) may come from an encoder that runs in them: l0 of every row, and
            whether each latent fired at all on a kept row.
        keep: is shown the parts of each context, in order.
    """
    table, sums, dimension_sums = split_error(sample, error_maps(sample), keep)
    l0, fired = firings()
    table["l0"] = l0.astype(np.float64)
    sums |= norm_probes(sample, table)
    row_sets = sample.splits.row_sets().astype(np.float64)
    sums |= {f"sum/{name}": scalar_sums(row_sets, column) for name, column in table.items()}
    sums["latent_fired"] = np.array([np.count_nonzero(fired), len(fired)], dtype=np.float64)
    write_arrays(out / TABLE, {name: column.astype(np.float32) for name, column in table.items()})
    write_arrays(out / SUMS, sums | error_sums(x_sums, dimension_sums))
    return dimension_sums


def error_maps(sample: SaeSample) -> dict[str, LinearMap]:
    """b* for every fit set (Eq. 11)."""
    d_model = sample.x.shape[-1]
    x_shift = sample.prepared.x_shift.to(sample.prepared.products)
    x, y, sae = sample.with_target(0)
    e_shift = (y - sae)[torch.from_numpy(sample.splits.kept[0, : len(x)]).to(x.device)].mean(0)
    fitter = CrossMomentsFitter(sample.blocks, d_model, len(e_shift), sample.prepared.products, sample.prepared.device)
    for context in range(len(sample.x)):
        x, y, sae = sample.with_target(context)
        fitter.update(context, x - x_shift, y - sae - e_shift)
    return {
        name: fit(factor, fitter.fit_set(name), sample.prepared.x_shift, e_shift.double())
        for name, factor in sample.prepared.factors.items()
    }


def split_error(sample: SaeSample, maps: dict[str, LinearMap], keep: Keep | None = None) -> tuple[Table, Sums, Sums]:
    """Per-token norms of all parts, and per-context sums of the error and of what the maps leave of it."""
    contexts, width = len(sample.x), len(maps["all"].b_0)
    row_sets = torch.from_numpy(sample.splits.row_sets()).double().to(sample.prepared.device)
    total, square = RowSums(row_sets, width), RowSums(row_sets, width)
    left = {f"{split}/{way}": RowSums(row_sets, width) for split in SPLITS for way in ("paper", "authors")}
    table: Table = {}
    dtype = sample.prepared.products
    stacked = {
        fold: torch.cat([maps[name].weight for name in (*SPLITS, "all", f"not-fold-{fold}")], 1).to(dtype)
        for fold in range(sample.splits.fold.max() + 1)
    }
    x_shift = sample.prepared.x_shift.to(dtype)
    for context in range(contexts):
        fold = int(sample.splits.fold[context])
        x, y, sae = sample.with_target(context)
        shifted, e = x - x_shift, y - sae
        products = (shifted @ stacked[fold]).split(width, 1)
        row = {"x": norms(y), "sae": norms(sae), "error": norms(e)}
        row["norm_x"], row["norm_sae"] = row["x"].sqrt(), row["sae"].sqrt()
        total.update(context, e)
        square.update(context, e.square())
        for name, product in zip((*SPLITS, "all", f"not-fold-{fold}"), products, strict=True):
            linear_map = maps[name]
            linear = product + linear_map.intercept.to(dtype)
            key = "cross-fit" if name.startswith("not-fold") else name
            if name == "all":
                linear += torch.outer(linear_map.excess(shifted), linear_map.b_0.to(dtype))
            nonlinear = e - linear
            if name in SPLITS:
                left[f"{name}/paper"].update(context, nonlinear.square())
                through_origin = nonlinear - torch.outer(linear_map.excess(shifted), linear_map.b_0.to(dtype))
                left[f"{name}/authors"].update(context, through_origin.square())
            if keep and key == "cross-fit":
                keep(context, e, linear, nonlinear)
            row[f"linear/{key}"], row[f"nonlinear/{key}"] = norms(linear), norms(nonlinear)
            inner = (linear * y).sum(1, dtype=torch.float64)
            row[f"cosine/{key}"] = inner / (row[f"linear/{key}"] * row["x"]).sqrt().clamp(min=1e-300)
        for name, values in row.items():
            table.setdefault(name, np.zeros(sample.x.shape[:2]))[context, : len(x)] = values.cpu().numpy()
    dimension_sums = {"error_sum": total.numpy(), "error_square": square.numpy()}
    dimension_sums |= {f"nonlinear/{name}": sums.numpy() for name, sums in left.items()}
    pooled = {f"pooled/nonlinear/{name}": sums.numpy().sum(-1) for name, sums in left.items()}
    return table, pooled, dimension_sums


def norms(vectors: Float[Tensor, "position d_model"]) -> Float[Tensor, " position"]:
    """Squared norm of each row, summed in float64."""
    return vectors.square().sum(1, dtype=torch.float64)


def probe_targets(split: str, convention: str) -> dict[str, str]:
    """Column of the per-token table for each vector of the norm test (section 5.1).

    In the paper's convention the linear part is that of the split's own map, which shares its rows with the
    probe; the published code takes the map fitted on all rows; `cross-fit` is ours.
    """
    source = {"paper": split, "authors": "all", "cross-fit": "cross-fit"}[convention]
    parts = {part: f"{part}/{source}" for part in ("linear", "nonlinear")}
    return parts if convention == "cross-fit" else {"x": "x", "sae": "sae", "error": "error", **parts}


def norm_probes(sample: SaeSample, table: Table) -> Sums:
    """Σ (s − ŝ)² per context for each squared norm s and its probe ŝ = a*·x (Eq. 10), and the sums of s.

    Keys: `residual/SPLIT/CONVENTION/TARGET`, and `centred_sum/COLUMN`, `centred_square/COLUMN` around the
    column's mean.
    """
    ways = ("paper", "authors", "cross-fit")
    columns = sorted({column for split in SPLITS for way in ways for column in probe_targets(split, way).values()})
    values = torch.stack([torch.from_numpy(table[name]) for name in columns], -1)  # (context, position, column)
    values = values.to(sample.prepared.device)
    means = values[torch.from_numpy(sample.splits.kept).to(values.device)].mean(0)
    values = values - means
    fitter = CrossMomentsFitter(sample.blocks, sample.x.shape[-1], len(columns), device=sample.prepared.device)
    for context in range(len(sample.x)):
        x = shift(np.asarray(sample.x[context]), sample.prepared.x_shift)
        fitter.update(context, x, values[context, : len(x)])
    maps = {
        name: fit(factor, fitter.fit_set(name), sample.prepared.x_shift, means)
        for name, factor in sample.prepared.factors.items()
    }
    row_sets = sample.splits.row_sets().astype(np.float64)
    residuals: Table = {}
    for context in range(len(sample.x)):
        x = shift(np.asarray(sample.x[context]), sample.prepared.x_shift)
        fold = int(sample.splits.fold[context])
        for key, residual in probe_residuals(x, values[context, : len(x)] + means, columns, maps, fold):
            residuals.setdefault(key, np.zeros(table["x"].shape))[context, : len(x)] = residual
    sums = {f"residual/{key}": scalar_sums(row_sets, residual**2) for key, residual in residuals.items()}
    for number, name in enumerate(columns):
        column = values[..., number].cpu().numpy()
        sums[f"centred_sum/{name}"] = scalar_sums(row_sets, column)
        sums[f"centred_square/{name}"] = scalar_sums(row_sets, column**2)
    return sums


def probe_residuals(x: Tensor, values: Tensor, columns: list[str], maps: dict[str, LinearMap], fold: int):
    """(key, s − ŝ) of one context for every split, convention and target."""
    for fit_set in (*SPLITS, f"not-fold-{fold}"):
        probe = maps[fit_set]
        residual = values - (x @ probe.weight + probe.intercept)
        through_origin = residual - torch.outer(probe.excess(x), probe.b_0)
        ways = (("paper", residual), ("authors", through_origin)) if fit_set in SPLITS else (("cross-fit", residual),)
        for convention, rows in ways:
            split = fit_set if fit_set in SPLITS else "context"
            for target, column in probe_targets(split, convention).items():
                key = f"{convention}/{target}" if convention == "cross-fit" else f"{split}/{convention}/{target}"
                yield key, rows[:, columns.index(column)].cpu().numpy()
