"""Least squares of any targets on any regressors, scored on held-out rows: two passes over the contexts.

The decomposition shares more between its regressions and has its own passes; every other experiment that asks "how
much of this does that explain?" asks it here. What comes out are sums per context, of which `held_out_estimates`
makes R² with intervals.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

import numpy as np
import torch
from jaxtyping import Bool, Float
from torch import Tensor

from darkmatter.params.conventions import CONVENTIONS
from darkmatter.regression.context_sums import RowSums
from darkmatter.regression.least_squares import SINGLE_PRECISION_CONDITION, LinearMap, factorise, fit
from darkmatter.regression.moments import CrossMomentsFitter, make_blocks
from darkmatter.regression.splits import ROW_SETS, SPLITS, Splits
from darkmatter.regression.symmetric_moments import SymmetricMomentsFitter
from darkmatter.storage.artifacts import ArtifactError

# (regressors [position, regressor], targets [position, target]) of one context
Rows = Callable[[int], tuple[Tensor, Tensor]]
# (fit set, convention, targets of some rows) → a linear function of them, without a constant
Derive = Callable[[str, str, Tensor], Tensor]

FIT_SETS = (*SPLITS, "all")


@dataclass(frozen=True)
class HeldOut:
    """A regression and its sums over the rows that were held out of it.

    Attributes:
        maps: the regression fitted on each of FIT_SETS.
        sums: per-context sums, [row set, context, target] but for `rows` [row set, context]: `rows`; `total` and
            `square` of the targets, shifted; `residual/SPLIT/CONVENTION`, squared residuals (`paper`: with intercept;
            `authors`: through the origin) on the rows held out of that split and NaN in the other row sets;
            `residual/in-sample` of the fit on all rows with intercept, on all rows. Of derived targets there are no
            `total` and `square`: they differ between the fits, see `derived_sums`.
        rank: of each fit.
    """

    maps: dict[str, LinearMap]
    sums: dict[str, np.ndarray]
    rank: dict[str, int]


def regress(
    rows: Rows,
    splits: Splits,
    cutoff: float,
    products: torch.dtype = torch.float64,
    derive: Derive | None = None,
) -> HeldOut:
    """Fit on the token split, the context split and all rows; score each on what it has not seen.

    Args:
        rows: of each context, all on one device; the work is done there.
        cutoff: relative eigenvalue below which a direction of the regressors is not fitted; a regressor without
            variance is such a direction.
        products: float32 doubles the speed of everything but the regressors' moments with themselves, which are
            float64 always; it is taken back where their condition number would cost digits of R².
        derive: score these functions of the targets, which may differ between fit sets, in place of the targets.
            Least squares is linear in its target, so that the residual of derive(t) is derive of t's residual.

    Raises:
        ArtifactError: fewer rows than regressors.
    """
    x, t = (part.double() for part in rows(0))
    check_rows(splits, x.shape[1])
    first = torch.from_numpy(splits.kept[0]).to(x.device)
    x_shift, t_shift = x[first].mean(0).float().double(), t[first].mean(0).float().double()

    def shifted(context: int, dtype: torch.dtype = torch.float64) -> tuple[Tensor, Tensor]:
        x, t = rows(context)
        return shift(x, x_shift, dtype), shift(t, t_shift, dtype)

    # Without cross-fitting folds there are 4 blocks of moments, not 20: 24 MB each at 1,728 regressors.
    blocks = make_blocks(replace(splits, fold=np.zeros_like(splits.fold)))
    shared = SymmetricMomentsFitter(blocks, x.shape[1], x.device)
    cross = CrossMomentsFitter(blocks, x.shape[1], t.shape[1], products, x.device)
    for context in range(len(splits.fold)):
        x, t = shifted(context)
        shared.update(context, x)
        cross.update(context, x, t)
    factors = {name: factorise(shared.fit_set(name), cutoff) for name in FIT_SETS}
    if products == torch.float32 and max(f.condition_number for f in factors.values()) > SINGLE_PRECISION_CONDITION:
        products = torch.float64
        cross = CrossMomentsFitter(blocks, x.shape[1], t.shape[1], device=x.device)
        for context in range(len(splits.fold)):
            cross.update(context, *shifted(context))
    maps = {name: fit(factor, cross.fit_set(name), x_shift, t_shift) for name, factor in factors.items()}
    of_shifted = {name: predicting_shifted(linear_map, t_shift, products) for name, linear_map in maps.items()}
    sums = score(lambda context: shifted(context, products), of_shifted, splits, derive)
    return HeldOut(maps, sums, {name: linear_map.rank for name, linear_map in maps.items()})


def check_rows(splits: Splits, regressors: int) -> None:
    """Refuse, before any work, a fit set that cannot fix all coefficients."""
    fewest = min(int(splits.fits_on(name).sum()) for name in FIT_SETS)
    if fewest <= regressors + 1:
        raise ArtifactError(
            f"a regression on {regressors} regressors with intercept needs more than {regressors + 1} rows to fit, "
            f"there are {fewest}; raise tokens.eval_contexts"
        )


def shift(part: Tensor, by: Float[Tensor, " column"], dtype: torch.dtype) -> Tensor:
    """part − by, subtracted in the wider of both types: rounding first would cost the digits that a mean hides."""
    wide = torch.promote_types(part.dtype, dtype)
    return (part.to(wide) - by.to(wide)).to(dtype)


def through_origin(linear_map: LinearMap) -> Float[Tensor, "regressor target"]:
    """Coefficients of the fit without intercept."""
    return linear_map.weight + torch.outer(linear_map.origin, linear_map.b_0)


def predicting_shifted(linear_map: LinearMap, t_shift: Float[Tensor, " target"], dtype: torch.dtype) -> LinearMap:
    """The same fit for t − t_shift, rounded to `dtype` once."""
    parts = {name: getattr(linear_map, name).to(dtype) for name in ("weight", "b_0", "origin")}
    return replace(linear_map, intercept=(linear_map.intercept - t_shift).to(dtype), **parts)


def score(rows: Rows, maps: dict[str, LinearMap], splits: Splits, derive: Derive | None) -> dict[str, np.ndarray]:
    """The sums of `HeldOut` from shifted rows and the maps that predict shifted targets."""
    row_sets = splits.row_sets()
    squares = ScoredSums(row_sets)
    whole: dict[str, RowSums] = {}
    for context in range(row_sets.shape[1]):
        x, t = rows(context)
        if derive is None:
            members = torch.from_numpy(row_sets).double().to(t.device)
            for name, values in (("total", t), ("square", t.square())):
                whole.setdefault(name, RowSums(members, t.shape[1])).update(context, values)
        for name, scored in squares.scored(context, x.device):
            for way, residual in residuals(x[scored], t[scored], maps[name]):
                if key := scored_key(name, way):
                    left = residual if derive is None else derive(name, way, residual)
                    squares.add(f"residual/{key}", name, context, left.square())
    rows_of_sets = {"rows": row_sets.sum(-1).astype(np.float64)}
    return rows_of_sets | squares.sums | {name: part.numpy() for name, part in whole.items()}


def derived_sums(targets: Callable[[int], Tensor], splits: Splits, derive: Derive) -> dict[str, np.ndarray]:
    """`total/KEY` and `square/KEY` for each `residual/KEY`: what derived targets have of their own.

    They depend on no regressor, so that one pass serves all regressions of these targets.

    Args:
        targets: the targets [position, target] of one context, before `derive`.
    """
    first = targets(0)
    by = first[torch.from_numpy(splits.kept[0]).to(first.device)].double().mean(0).float()
    sums = ScoredSums(splits.row_sets())
    for context in range(len(splits.fold)):
        t = shift(targets(context), by, targets(context).dtype)
        for name, scored in sums.scored(context, t.device):
            for way in CONVENTIONS:
                if key := scored_key(name, way):
                    derived = derive(name, way, t[scored])
                    sums.add(f"total/{key}", name, context, derived)
                    sums.add(f"square/{key}", name, context, derived.square())
    return sums.sums


def scored_key(fit_set: str, convention: str) -> str | None:
    """What a fit is called where it is scored; the fit on all rows is scored with intercept alone."""
    if fit_set != "all":
        return f"{fit_set}/{convention}"
    return "in-sample" if convention == "paper" else None


class ScoredSums:
    """Sums over the rows on which each fit is scored, NaN in the other row sets: [row set, context, target]."""

    def __init__(self, row_sets: Bool[np.ndarray, "set context position"]) -> None:
        self.row_sets = row_sets
        self.sums: dict[str, np.ndarray] = {}

    def scored(self, context: int, device: torch.device) -> Iterator[tuple[str, Tensor]]:
        """(fit set, positions) of one context on which that fit is scored, as a tensor on `device`."""
        for number, name in enumerate(ROW_SETS):
            yield name, torch.from_numpy(np.flatnonzero(self.row_sets[number, context])).to(device)

    def add(self, key: str, fit_set: str, context: int, values: Float[Tensor, "position target"]) -> None:
        shape = (*self.row_sets.shape[:2], values.shape[1])
        if key not in self.sums:
            self.sums[key] = np.full(shape, np.nan)
        self.sums[key][ROW_SETS.index(fit_set), context] = values.sum(0, dtype=torch.float64).cpu().numpy()


def residuals(x: Tensor, t: Tensor, linear_map: LinearMap) -> Iterator[tuple[str, Tensor]]:
    """(convention, t − t̂) of shifted rows."""
    residual = t - x @ linear_map.weight - linear_map.intercept
    yield "paper", residual
    yield "authors", residual - torch.outer(linear_map.excess(x), linear_map.b_0)
