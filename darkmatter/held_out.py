"""Least squares of any targets on any regressors, scored on held-out rows: two passes over the contexts.

The decomposition shares more between its regressions and has its own passes; every other experiment that asks "how
much of this does that explain?" asks it here. What comes out are sums per context, of which `held_out_estimates`
makes R² with intervals.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from darkmatter.context_sums import RowSums
from darkmatter.moments import CrossMomentsFitter, make_blocks
from darkmatter.probes import LinearMap, factorise, fit
from darkmatter.splits import SPLITS, Splits

# (regressors [position, regressor], targets [position, target]) of one context
Rows = Callable[[int], tuple[Tensor, Tensor]]


@dataclass(frozen=True)
class HeldOut:
    """Attributes:
    maps: the regression fitted on each of `fit_sets`.
    sums: per-context sums, [row set, context, target] but for `rows` [row set, context]: `rows`; `total` and
        `square` of the targets, shifted; `residual/SPLIT/CONVENTION`, squared residuals (`paper`: with intercept;
        `authors`: through the origin); `residual/in-sample` of the fit on all rows with intercept.
    rank: of each fit.
    """

    maps: dict[str, LinearMap]
    sums: dict[str, np.ndarray]
    rank: dict[str, int]


def regress(rows: Rows, splits: Splits, cutoff: float) -> HeldOut:
    """Fit on the token split, the context split and all rows; score each. All products in float64.

    Args:
        cutoff: relative eigenvalue below which a direction of the regressors is not fitted; a regressor without
            variance is such a direction.

    Raises:
        ArtifactError: fewer rows than regressors.
    """
    contexts = len(splits.fold)
    blocks = make_blocks(splits)
    x, t = (part.double() for part in rows(0))
    x_shift, t_shift = x.mean(0), t.mean(0)
    shared = CrossMomentsFitter(blocks, x.shape[1], x.shape[1])
    cross = CrossMomentsFitter(blocks, x.shape[1], t.shape[1])
    for context in range(contexts):
        x, t = (part.double() for part in rows(context))
        shared.update(context, x - x_shift, x - x_shift)
        cross.update(context, x - x_shift, t - t_shift)
    maps = {
        name: fit(factorise(shared.fit_set(name), cutoff), cross.fit_set(name), x_shift, t_shift)
        for name in (*SPLITS, "all")
    }
    row_sets = splits.row_sets().astype(np.float64)
    names = [*(f"residual/{split}/{way}" for split in SPLITS for way in ("paper", "authors")), "residual/in-sample"]
    sums = {name: RowSums(torch.from_numpy(row_sets), t.shape[1]) for name in ("total", "square", *names)}
    for context in range(contexts):
        x, t = (part.double() for part in rows(context))
        sums["total"].update(context, t - t_shift)
        sums["square"].update(context, (t - t_shift).square())
        for name, (with_intercept, through_origin) in predictions(x - x_shift, maps):
            if name == "all":
                sums["residual/in-sample"].update(context, (t - with_intercept).square())
            else:
                sums[f"residual/{name}/paper"].update(context, (t - with_intercept).square())
                sums[f"residual/{name}/authors"].update(context, (t - through_origin).square())
    arrays = {"rows": row_sets.sum(-1), **{name: part.numpy() for name, part in sums.items()}}
    return HeldOut(maps, arrays, {name: linear_map.rank for name, linear_map in maps.items()})


def predictions(x: Float[Tensor, "position regressor"], maps: dict[str, LinearMap]):
    """(fit set, (prediction with intercept, through the origin)) for shifted regressors."""
    for name, linear_map in maps.items():
        with_intercept = x @ linear_map.weight + linear_map.intercept
        yield name, (with_intercept, with_intercept + torch.outer(linear_map.excess(x), linear_map.b_0))
