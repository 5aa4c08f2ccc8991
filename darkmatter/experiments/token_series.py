"""Error norms token by token (Figs. 5 and 12), and whether the linear or the nonlinear part changes more with width.

Reads per-token tables of squared norms, [context, position] each. No torch.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from jaxtyping import Float

from darkmatter.bootstrap import ContextBootstrap
from darkmatter.estimates import Estimate, estimate
from darkmatter.joint import joint, stating
from darkmatter.metrics import ratio
from darkmatter.paired import slope
from darkmatter.splits import ROW_SETS, Splits

Tables = Mapping[str, Mapping[str, Float[np.ndarray, "context position"]]]
Saes = Sequence[Mapping[str, Any]]  # `name`, `d_sae` and `k` of each

PARTS = ("linear", "nonlinear")
SERIES = {"error_sq": "error", "linear_sq": "linear/token", "nonlinear_sq": "nonlinear/token"}
SHOWN_CONTEXT = 0


def token_series(saes: Saes, tables: Tables, shown: int, first_position: int, ids: np.ndarray) -> dict[str, Any]:
    """Squared norms of the first tokens of one context, and the mean of both parts over all tokens.

    Args:
        shown: how many tokens.
        first_position: position of the tables' first column in its context.
        ids: token ids of the shown context, from that position on.
    """
    count = min(shown, len(ids))
    facts = {
        "context": SHOWN_CONTEXT,
        "positions": list(range(first_position, first_position + count)),
        "token_ids": ids[:count].tolist(),
        "saes": [
            {"name": sae["name"], "d_sae": sae["d_sae"]}
            | {name: tables[sae["name"]][column][SHOWN_CONTEXT, :count].tolist() for name, column in SERIES.items()}
            for sae in saes
        ],
    }
    for part in PARTS:
        facts[f"mean_{part}_sq"] = {
            sae["name"]: float(tables[sae["name"]][f"{part}/token"].mean(dtype=np.float64)) for sae in saes
        }
    return facts


def log_norm(squared: np.ndarray) -> np.ndarray:
    """ln of the norm; NaN where it is zero."""
    return 0.5 * np.log(squared, out=np.full(squared.shape, np.nan), where=squared > 0)


def part_slopes(
    saes: Saes, tables: Tables, splits: Splits, split: str, source: str, bootstrap: dict[str, Any]
) -> dict[str, Estimate]:
    """Slope per doubling of width of ln of the root mean square norm of each part, one offset for each k.

    Args:
        split: the means go over its held-out rows.
        source: whose map makes the parts: that of a split, or `all`, the published code's.
    """
    held_out = splits.row_sets()[ROW_SETS.index(split)]
    used = np.flatnonzero(held_out.any(axis=1))
    rows = held_out[used].sum(axis=1).astype(np.float64)
    found = {}
    for part in PARTS:
        columns = (tables[sae["name"]][f"{part}/{source}"].astype(np.float64) for sae in saes)
        sums = np.stack([np.where(held_out, column, 0.0).sum(axis=1)[used] for column in columns])  # (sae, context)

        def statistic(weights: np.ndarray, sums: np.ndarray = sums) -> np.ndarray:
            mean = ratio(weights @ sums.T, np.repeat((weights @ rows)[:, None], len(sums), axis=1))
            return slope_by_width(saes, log_norm(mean.T))

        found[part] = with_reason(estimate(ContextBootstrap(len(used), **bootstrap), statistic, rows, 0))
    return found


def share_of_tokens(saes: Saes, tables: Tables, shown: int, source: str, bootstrap: dict[str, Any]) -> Estimate:
    """Share of the tokens shown whose linear norm changes more per doubling of width than their nonlinear norm.

    The interval resamples these tokens; they are neighbours in one context, so it is narrow for what it says about
    other text.
    """
    squared = {
        part: np.stack([tables[sae["name"]][f"{part}/{source}"][SHOWN_CONTEXT, :shown] for sae in saes]).astype(float)
        for part in PARTS
    }  # (sae, token)
    change = {part: np.abs(slope_by_width(saes, log_norm(values))) for part, values in squared.items()}
    defined = np.isfinite(change["linear"]) & np.isfinite(change["nonlinear"])
    more = (change["linear"] > change["nonlinear"])[defined].astype(np.float64)
    tokens = np.ones(len(more))
    if not len(more):
        return with_reason({"value": None, "low": None, "high": None, "rows": 0, "contexts": 1, "rank": 0})
    units = ContextBootstrap(len(more), **bootstrap)
    return estimate(units, lambda weights: ratio(weights @ more, weights @ tokens), tokens, 0) | {"contexts": 1}


def part_estimands(
    saes: Saes, tables: Tables, splits: Splits, split: str, convention: str, shown: int, bootstrap: dict[str, Any]
) -> dict[str, Any]:
    """Components of the claim per-token-parts: both slopes and the share of tokens, which are judged together."""
    together = joint(bootstrap, len(PARTS) + 1)
    source = split if convention == "paper" else "all"
    slopes = part_slopes(saes, tables, splits, split, source, together)
    share = share_of_tokens(saes, tables, shown, source, together)
    return {"per_token_part_slopes": stating(together["level"], slopes | {"tokens": share})}


def slope_by_width(saes: Saes, log_norms: Float[np.ndarray, "sae column"]) -> Float[np.ndarray, " column"]:
    return slope(np.log2([sae["d_sae"] for sae in saes]), log_norms, [sae["k"] for sae in saes])


def with_reason(found: Estimate) -> Estimate:
    """An undefined slope has another reason than a missing variance."""
    return found if found["value"] is not None else found | {"reason": "one width only, or a norm that is zero"}
