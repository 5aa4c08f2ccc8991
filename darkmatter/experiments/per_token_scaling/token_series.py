"""Error norms token by token (Figs. 5 and 12), and whether the linear or the nonlinear part changes more with width.

`token_sums` reads per-token tables of squared norms, [context, position] each; the numbers follow from what it
leaves. No torch.
"""

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

import numpy as np
from jaxtyping import Float

from darkmatter.regression.splits import SPLITS, Splits
from darkmatter.statistics.bootstrap import ContextBootstrap, Weights, each_once
from darkmatter.statistics.estimate import Estimate, OfSeed
from darkmatter.statistics.joint_levels import at_both
from darkmatter.statistics.metrics import ratio
from darkmatter.statistics.paired_r2 import slope
from darkmatter.statistics.sae_estimates import estimate
from darkmatter.statistics.seed_noise import moved_term, of_seed, seed_fact

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
    result = {}
    for part in PARTS:
        norms, rows = norms_of([sae["name"] for sae in saes], sums, part, split, source)
        statistic = lambda weights, norms=norms: slope_by_width(saes, norms(weights))  # noqa: E731
        result[part] = with_reason(estimate(ContextBootstrap(len(rows), **bootstrap), statistic, rows, 0))
    return result


def norms_of(
    names: Sequence[str], sums: Sums, part: str, split: str, source: str
) -> tuple[Callable[[Weights], Float[np.ndarray, "sae resample"]], np.ndarray]:
    """ln of the root mean square norm of a part of each SAE, as a function of weights over contexts, and their rows."""
    used = np.flatnonzero(sums[f"rows/{split}"])
    rows = sums[f"rows/{split}"][used]
    own = np.stack([sums[f"{name}/sum/{part}/{source}/{split}"][used] for name in names])  # (sae, context)

    def norms(weights: Weights) -> np.ndarray:
        return log_norm(ratio(weights @ own.T, np.repeat((weights @ rows)[:, None], len(own), axis=1)).T)

    return norms, rows


def share_of_tokens(saes: Saes, sums: Sums, source: str, bootstrap: dict[str, Any]) -> Estimate:
    """Share of the tokens shown whose linear norm changes more per doubling of width than their nonlinear norm.

    The interval resamples these tokens; they are neighbours in one context, so it is narrow for what it says about
    other text.
    """
    more = changes_more(saes, shown_norms([sae["name"] for sae in saes], sums, source))
    tokens = np.ones(len(more))
    if not len(more):
        return with_reason({"value": None, "low": None, "high": None, "rows": 0, "contexts": 1, "rank": 0})
    units = ContextBootstrap(len(more), **bootstrap)
    result = estimate(units, lambda weights: ratio(weights @ more, weights @ tokens), tokens, 0)
    return result | {"contexts": 1, "resampled": "token"}


def shown_norms(names: Sequence[str], sums: Sums, source: str) -> Float[np.ndarray, "part sae token"]:
    """ln of the norm of each part of the tokens shown."""
    return np.stack(
        [[log_norm(sums[f"{name}/shown/{part}/{source}"].astype(float)) for name in names] for part in PARTS]
    )


def changes_more(saes: Saes, norms: Float[np.ndarray, "part sae token"]) -> Float[np.ndarray, " defined"]:
    """1 where the linear norm changes more with width than the nonlinear one, else 0; of tokens that have both."""
    linear, nonlinear = (np.abs(slope_by_width(saes, own)) for own in norms)
    return (linear > nonlinear)[np.isfinite(linear) & np.isfinite(nonlinear)].astype(np.float64)


def part_estimands(
    saes: Saes, sums: Sums, split: str, convention: str, bootstrap: dict[str, Any], groups: Sequence[Sequence[str]] = ()
) -> dict[str, Any]:
    """Components of the claim per-token-parts: both slopes and the share of tokens, which are judged together.

    Args:
        groups: names of SAEs that differ in their training seed alone.
    """
    source = sources(split)[convention]

    def judged(bootstrap: dict[str, Any]) -> dict[str, Estimate]:
        slopes = part_slopes(saes, sums, split, source, bootstrap)
        return slopes | {"tokens": share_of_tokens(saes, sums, source, bootstrap)}

    result = at_both(judged, bootstrap, len(PARTS) + 1)
    facts = seed_facts(saes, sums, split, source, groups) if groups else {}
    return {
        "per_token_part_slopes": {
            name: one | (facts.get(name, {}) if one["value"] is not None else {}) for name, one in result.items()
        }
    }


def seed_facts(
    saes: Saes, sums: Sums, split: str, source: str, groups: Sequence[Sequence[str]]
) -> dict[str, dict[str, OfSeed]]:
    """What the training seed does to each component: to a part's norm of each SAE, or of each SAE's tokens."""
    names = [sae["name"] for sae in saes]
    result = {}
    for part in PARTS:

        def values(of: Sequence[str], part: str = part) -> list[float]:
            norms, rows = norms_of(of, sums, part, split, source)
            return norms(each_once(len(rows)))[:, 0].tolist()

        result[part] = seed_fact(values(names), [values(group) for group in groups], partial(slope_by_width, saes))
    own = [shown_norms(group, sums, source) for group in groups]
    deviations = np.concatenate([norms - norms.mean(1, keepdims=True) for norms in own], axis=1)
    norms, freedom = shown_norms(names, sums, source), sum(len(group) - 1 for group in groups)

    def share(columns: Float[np.ndarray, "value column"]) -> np.ndarray:
        more = [changes_more(saes, one) for one in columns.T.reshape(-1, *norms.shape)]
        return np.array([own.mean() if len(own) else np.nan for own in more])

    moves = np.zeros((len(saes), *norms.shape, deviations.shape[1]))
    for place in range(len(saes)):
        moves[place, :, place] = deviations.transpose(0, 2, 1)
    flat = [move.reshape(norms.size, -1) for move in moves]
    return result | {"tokens": of_seed(moved_term(norms.ravel(), flat, share, freedom))}


def slope_by_width(saes: Saes, log_norms: Float[np.ndarray, "sae column"]) -> Float[np.ndarray, " column"]:
    return slope(np.log2([sae["d_sae"] for sae in saes]), log_norms, [sae["k"] for sae in saes])


def with_reason(result: Estimate) -> Estimate:
    """An undefined slope has another reason than a missing variance."""
    return result if result["value"] is not None else result | {"reason": "one width only, or a norm that is zero"}
