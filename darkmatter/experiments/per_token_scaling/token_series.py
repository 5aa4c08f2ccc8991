"""Error norms token by token (Figs. 5 and 12), and whether the linear or the nonlinear part changes more with width.

`token_sums` reads per-token tables of squared norms, [context, position] each; the numbers follow from what it
leaves. No torch.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from jaxtyping import Float

from darkmatter.regression.splits import SPLITS, Splits
from darkmatter.statistics.bootstrap import ContextBootstrap, Weights
from darkmatter.statistics.estimate import Estimate
from darkmatter.statistics.joint_levels import at_both
from darkmatter.statistics.metrics import ratio
from darkmatter.statistics.paired_r2 import slope
from darkmatter.statistics.sae_estimates import estimate

Sums = Mapping[str, np.ndarray]
Tables = Mapping[str, Mapping[str, Float[np.ndarray, "context position"]]]
Saes = Sequence[Mapping[str, Any]]  # `name`, `d_sae` and `k` of each

PARTS = ("linear", "nonlinear")
SERIES = {"error_sq": "error", "linear_sq": "linear/token", "nonlinear_sq": "nonlinear/token"}
SHOWN_CONTEXT = 0


def token_sums(saes: Saes, tables: Tables, splits: Splits, shown: int, ids: np.ndarray) -> dict[str, np.ndarray]:
    """All that the numbers of this module follow from.

    Args:
        shown: how many tokens of the shown context are kept.
        ids: its token ids, from the tables' first column on.

    Returns:
        `token_ids` [token]; `shown_columns` [token], where outliers interrupt them; `tokens`, the number of all kept;
        `rows/SPLIT` [context], held out; of each SAE `shown/COLUMN` [token], squared norms; `sum/PART` over all kept
        tokens; `sum/PART/SOURCE/SPLIT` [context] over the rows held out of SPLIT, PART as the map of SOURCE makes it
        (see `sources`).
    """
    held_out = dict(zip(SPLITS, splits.row_sets(), strict=False))
    columns_shown = np.flatnonzero(splits.kept[SHOWN_CONTEXT])[:shown]
    arrays = {f"rows/{split}": rows.sum(axis=1).astype(np.float64) for split, rows in held_out.items()}
    arrays |= {"token_ids": np.asarray(ids[columns_shown]), "tokens": np.array(splits.kept.sum())}
    if not np.array_equal(columns_shown, np.arange(len(columns_shown))):
        arrays["shown_columns"] = columns_shown
    for sae in saes:
        name, table = sae["name"], tables[sae["name"]]
        columns = {"error", *(f"{part}/{source}" for part in PARTS for source in (*SPLITS, "all"))}
        arrays |= {f"{name}/shown/{column}": table[column][SHOWN_CONTEXT, columns_shown] for column in columns}
        for part in PARTS:
            arrays[f"{name}/sum/{part}"] = table[f"{part}/token"][splits.kept].sum(dtype=np.float64)
            for split, rows in held_out.items():
                for source in sources(split).values():
                    squared = table[f"{part}/{source}"].astype(np.float64)
                    arrays[f"{name}/sum/{part}/{source}/{split}"] = np.where(rows, squared, 0.0).sum(axis=1)
    return arrays


def sources(split: str) -> dict[str, str]:
    """Convention → whose map makes the parts: that of the split, or the published code's, fitted on all rows."""
    return {"paper": split, "authors": "all"}


def token_series(saes: Saes, sums: Sums, first_position: int) -> dict[str, Any]:
    """Squared norms of the first tokens of one context, and the mean of both parts over all tokens.

    Args:
        sums: of `token_sums`.
        first_position: position of the tables' first column in its context.
    """
    columns = sums.get("shown_columns", np.arange(len(sums["token_ids"])))
    facts = {
        "context": SHOWN_CONTEXT,
        "positions": (first_position + columns).tolist(),
        "token_ids": sums["token_ids"].tolist(),
        "saes": [
            {"name": sae["name"], "d_sae": sae["d_sae"]}
            | {name: sums[f"{sae['name']}/shown/{column}"].tolist() for name, column in SERIES.items()}
            for sae in saes
        ],
    }
    for part in PARTS:
        facts[f"mean_{part}_sq"] = {
            sae["name"]: float(sums[f"{sae['name']}/sum/{part}"] / int(sums["tokens"])) for sae in saes
        }
    return facts


def log_norm(squared: np.ndarray) -> np.ndarray:
    """ln of the norm; NaN where it is zero."""
    return 0.5 * np.log(squared, out=np.full(squared.shape, np.nan), where=squared > 0)


def part_slopes(saes: Saes, sums: Sums, split: str, source: str, bootstrap: dict[str, Any]) -> dict[str, Estimate]:
    """Slope per doubling of width of ln of the root mean square norm of each part, one offset for each k.

    Args:
        split: the means go over its held-out rows.
        source: whose map makes the parts: that of a split, or `all`, the published code's.
    """
    used = np.flatnonzero(sums[f"rows/{split}"])
    rows = sums[f"rows/{split}"][used]
    result = {}
    for part in PARTS:
        own = np.stack([sums[f"{sae['name']}/sum/{part}/{source}/{split}"][used] for sae in saes])  # (sae, context)

        def statistic(weights: Weights, own: np.ndarray = own) -> np.ndarray:
            mean = ratio(weights @ own.T, np.repeat((weights @ rows)[:, None], len(own), axis=1))
            return slope_by_width(saes, log_norm(mean.T))

        result[part] = with_reason(estimate(ContextBootstrap(len(used), **bootstrap), statistic, rows, 0))
    return result


def share_of_tokens(saes: Saes, sums: Sums, source: str, bootstrap: dict[str, Any]) -> Estimate:
    """Share of the tokens shown whose linear norm changes more per doubling of width than their nonlinear norm.

    The interval resamples these tokens; they are neighbours in one context, so it is narrow for what it says about
    other text.
    """
    squared = {
        part: np.stack([sums[f"{sae['name']}/shown/{part}/{source}"] for sae in saes]).astype(float) for part in PARTS
    }  # (sae, token)
    change = {part: np.abs(slope_by_width(saes, log_norm(values))) for part, values in squared.items()}
    defined = np.isfinite(change["linear"]) & np.isfinite(change["nonlinear"])
    more = (change["linear"] > change["nonlinear"])[defined].astype(np.float64)
    tokens = np.ones(len(more))
    if not len(more):
        return with_reason({"value": None, "low": None, "high": None, "rows": 0, "contexts": 1, "rank": 0})
    units = ContextBootstrap(len(more), **bootstrap)
    return estimate(units, lambda weights: ratio(weights @ more, weights @ tokens), tokens, 0) | {"contexts": 1}


def part_estimands(saes: Saes, sums: Sums, split: str, convention: str, bootstrap: dict[str, Any]) -> dict[str, Any]:
    """Components of the claim per-token-parts: both slopes and the share of tokens, which are judged together."""
    source = sources(split)[convention]

    def judged(bootstrap: dict[str, Any]) -> dict[str, Estimate]:
        slopes = part_slopes(saes, sums, split, source, bootstrap)
        return slopes | {"tokens": share_of_tokens(saes, sums, source, bootstrap)}

    return {"per_token_part_slopes": at_both(judged, bootstrap, len(PARTS) + 1)}


def slope_by_width(saes: Saes, log_norms: Float[np.ndarray, "sae column"]) -> Float[np.ndarray, " column"]:
    return slope(np.log2([sae["d_sae"] for sae in saes]), log_norms, [sae["k"] for sae in saes])


def with_reason(result: Estimate) -> Estimate:
    """An undefined slope has another reason than a missing variance."""
    return result if result["value"] is not None else result | {"reason": "one width only, or a norm that is zero"}
