"""Per-token scaling: the error norm of a large SAE from a small one's (Eq. 13), and from its nonlinear part's (Eq. 23).

The regressions alone; `scaling_estimates` makes numbers and intervals of their sums.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from jaxtyping import Bool, Float

from darkmatter.experiments.per_token_scaling.estimates import Scaling, wider_saes
from darkmatter.regression.held_out_regression import regress
from darkmatter.regression.splits import SPLITS, Splits

PerToken = Float[np.ndarray, "context position"]

# Which columns of the smaller SAE's per-token table predict the larger one's error norm, and whether norms stand
# squared (section 4.4) or not (published code). NonlinearError is what the map of either split leaves, as in the
# paper, or a map that has not seen the context (`cross-fit`, ours). Controls have in its place LinearError, or
# NonlinearError of other tokens (`shuffled`, ours): any second regressor may help a little.
REGRESSIONS = {
    "squared": (("error",), True),
    "unsquared": (("error",), False),
    "squared+token": (("error", "nonlinear/token"), True),
    "squared+context": (("error", "nonlinear/context"), True),
    "squared+cross-fit": (("error", "nonlinear/cross-fit"), True),
    "unsquared+token": (("error", "nonlinear/token"), False),
    "unsquared+context": (("error", "nonlinear/context"), False),
} | {
    f"{way}+{control}+{split}": (("error", f"{column}/{split}"), way == "squared")
    for way in ("squared", "unsquared")
    for control, column in (("linear", "linear"), ("shuffled", "shuffled"))
    for split in SPLITS
}
SHUFFLE_SEED = 0


def scaling_regressions(
    saes: list[dict[str, Any]], tables: Mapping[str, Mapping[str, PerToken]], splits: Splits, cutoff: float
) -> list[Scaling]:
    """All regressions from each SAE to the wider ones of the same k, from narrow to wide.

    Args:
        saes: `name`, `d_sae` and `k` of each.
        tables: per-token table of each by name: squared norms.
        cutoff: as for `held_out_regression.regress`.

    Raises:
        ArtifactError: fewer rows than regressors.
    """
    results = []
    for first, wider in wider_saes(saes):
        sums, rank = {}, {}
        table = {**tables[first["name"]], **shuffled(tables[first["name"]], splits.kept)}
        for name, (columns, squared) in REGRESSIONS.items():
            x = stack([table[column] for column in columns], squared)
            t = stack([tables[sae["name"]]["error"] for sae in wider], squared)
            held_out = regress(lambda context, x=x, t=t: (x[context], t[context]), splits, cutoff)
            sums[name], rank[name] = held_out.sums, held_out.rank
        results.append(Scaling(first, wider, sums, rank))
    return results


def shuffled(table: Mapping[str, PerToken], kept: Bool[np.ndarray, "context position"]) -> dict[str, PerToken]:
    """NonlinearError's norms of each split, every kept token with that of another: what they say of it is lost."""
    order = np.random.default_rng(SHUFFLE_SEED).permutation(int(kept.sum()))
    result = {}
    for split in SPLITS:
        column = table[f"nonlinear/{split}"].copy()
        column[kept] = column[kept][order]
        result[f"shuffled/{split}"] = column
    return result


def stack(squared_norms: list[PerToken], squared: bool) -> Float[torch.Tensor, "context position column"]:
    """Columns of squared norms, or of norms, float64."""
    columns = np.stack([column.astype(np.float64) for column in squared_norms], axis=-1)
    return torch.from_numpy(columns if squared else np.sqrt(columns))
