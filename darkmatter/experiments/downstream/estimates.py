"""Cross-entropy recovered by each part of the error, and what its size lets expect (section 5.3): no torch.

All sums are per context, and every ratio is one of sums, so that contexts can be resampled:

    recovered = 100 (CE_sae − CE_splice) / (CE_sae − CE_clean)

    expected, by norm           100 mean‖part‖ / mean‖Sae(x)‖       as section 5.3 words it
              by norm_of_error  100 mean‖part‖ / mean‖SaeError(x)‖  the part's norm as a share of the error's
              by variance       100 (R²_sae − R²_splice) / (R²_sae − 1), R² pooled over dimensions
              by variance_per_dimension  the same with R² averaged over dimensions, as in the published code

Pooled, the total sum of squares cancels: 100 (1 − Σ‖x − splice‖² / Σ‖SaeError‖²). The shares of both parts in the
error's norm add up to more than 100 % wherever the parts are not parallel.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from darkmatter.regression.splits import Splits
from darkmatter.statistics import metrics
from darkmatter.statistics.bootstrap import ContextBootstrap, Statistic, Weights, each_once
from darkmatter.statistics.estimate import Estimate
from darkmatter.statistics.joint_levels import at_both
from darkmatter.statistics.per_dimension import mean_of_ratios, unexplained_sums
from darkmatter.statistics.sae_estimates import estimate
from darkmatter.statistics.variance_model import contexts_and_saes, shared_share
from darkmatter.statistics.watched import WatchedStatistic
from darkmatter.storage.artifacts import ArtifactError, read_arrays

Sums = Mapping[str, np.ndarray]
PARTS = ("linear", "nonlinear")
PER_DIMENSION = "variance_per_dimension"
EXPECTATIONS = ("norm", "norm_of_error", "variance", PER_DIMENSION)
# Which expectations the claim `ce-proportional` compares with; the published code gives no formula for the norm.
JUDGED = {
    "paper": {"norm": "norm", "variance": "variance"},
    "authors": {"norm": "norm", "variance": PER_DIMENSION},
}


def held_out_contexts(splits: Splits, count: int) -> list[int]:
    """The first `count` contexts that the context split holds out.

    Raises:
        ArtifactError: there are fewer.
    """
    held_out = np.flatnonzero(~splits.context_fit)
    if len(held_out) < count:
        raise ArtifactError(
            f"downstream.contexts asks for {count} contexts, the context split holds out {len(held_out)}. Lower it, or "
            "raise tokens.eval_contexts."
        )
    return held_out[:count].tolist()


def join_contexts(files: Sequence[Path]) -> dict[str, np.ndarray]:
    """The sums of all contexts, [context] or [context, d_model], from one file each."""
    parts = [read_arrays(file) for file in files]
    return {name: np.stack([part[name] for part in parts]) for name in parts[0]}


def kept_sums(sums: Sums) -> dict[str, np.ndarray]:
    """What all numbers follow from: [context], squares pooled over dimensions; and for averages over dimensions
    `SAE/per_dimension/SPLICE` [2, context] of `per_dimension.unexplained_sums`, of the parts.
    """
    result = {name: array for name, array in sums.items() if array.ndim == 1 and name != "residual_gap"}
    of_x = [sums[name] for name in ("rows", "x_sum", "x_square")]
    for name, left in sums.items():
        sae, _, splice = name.partition("/left/")
        if splice:
            result[name] = left.sum(1)
        if splice in ("sae", *PARTS):
            result[f"{sae}/per_dimension/{splice}"] = unexplained_sums(*of_x, left)
    return result


def recovered(sums: Sums, sae: str, splice: str) -> Statistic:
    """Percent of the cross-entropy that Sae(x) costs which the splice wins back; undefined where it costs nothing."""
    base, after, clean = sums[f"{sae}/ce/sae"], sums[f"{sae}/ce/{splice}"], sums["ce/clean"]
    return lambda weights: 100 * metrics.ratio(weights @ (base - after), weights @ (base - clean))


def expected(sums: Sums, sae: str, splice: str, way: str) -> Statistic:
    """Percent expected from the size of the part; the formulas stand at the head of this file."""
    if way == "variance":
        pooled = {name: sums[f"{sae}/left/{name}"] for name in ("sae", splice)}
        return lambda weights: 100 * (1 - metrics.ratio(weights @ pooled[splice], weights @ pooled["sae"]))
    if way == PER_DIMENSION:
        pairs = [sums[f"{sae}/per_dimension/{name}"] for name in (splice, "sae")]

        def share(weights: Weights) -> np.ndarray:
            after, base = (mean_of_ratios(weights, pair) for pair in pairs)  # 1 − R²
            return 100 * metrics.ratio(base - after, base)

        return share
    whole = sums[f"{sae}/norm/{'sae' if way == 'norm' else 'error'}"]
    part = sums[f"{sae}/norm/{splice}"]
    return lambda weights: 100 * metrics.ratio(weights @ part, weights @ whole)


def ratio(sums: Sums, sae: str, part: str, way: str) -> Statistic:
    """Recovered over expected; undefined where nothing is expected."""
    above, below = recovered(sums, sae, part), expected(sums, sae, part, way)
    return lambda weights: metrics.ratio(above(weights), below(weights))


def defined(units: ContextBootstrap, statistic: Statistic, rows: np.ndarray, rank: int, reason: str) -> Estimate:
    """As `sae_estimates.estimate`; null with `reason` where the statistic, or too many resamples, are undefined."""
    watched = WatchedStatistic(statistic, units.resamples)
    result = estimate(units, watched, rows, rank)
    if result["value"] is None:
        return result | {"reason": reason}
    if watched.too_often_undefined(units.level):
        reason = f"{reason} (in {watched.undefined:.0%} of the resamples)"
        return result | {"value": None, "low": None, "high": None, "reason": reason}
    return result


NO_COST = "splicing Sae(x) does not raise the cross-entropy, so there is nothing to recover"


def estimates(sums: Sums, saes: Sequence[Mapping[str, Any]], rank: Mapping[str, int], bootstrap: dict[str, Any]):
    """The content of the results: cross-entropies, recovered and expected percent, their ratios, the estimands.

    Args:
        sums: of `kept_sums`.
        saes: facts of each SAE, `name` among them.
        rank: of each SAE's map.
        bootstrap: `resamples`, `level` and `seed`.
    """
    rows = sums["rows"]
    units = ContextBootstrap(len(rows), **bootstrap)

    def number(statistic: Statistic, used: int, reason: str = NO_COST) -> Estimate:
        return defined(units, statistic, rows, used, reason)

    def mean_of(total: np.ndarray, used: int) -> Estimate:
        return number(lambda weights: metrics.mean(weights, rows, total), used)

    clean = sums["ce/clean"]
    results = []
    for facts in saes:
        sae = facts["name"]
        used = rank[sae]
        costs = {key.rsplit("/", 1)[1]: array for key, array in sums.items() if key.startswith(f"{sae}/ce/")}
        ranks = {splice: 0 if splice == "sae" else used for splice in costs}  # Sae(x) alone fits no map
        content = {
            "cross_entropy": {splice: mean_of(total, ranks[splice]) for splice, total in costs.items()},
            "increase": {splice: mean_of(total - clean, ranks[splice]) for splice, total in costs.items()},
            "recovered_percent": {
                splice: number(recovered(sums, sae, splice), used) for splice in costs if splice != "sae"
            },
        }
        for key, function in (("expected_percent", expected), ("ratio", ratio)):
            content[key] = {
                way: {
                    part: number(function(sums, sae, part, way), used, undefined(sums, sae, part, way, key))
                    for part in PARTS
                }
                for way in EXPECTATIONS
            }
        results.append({**facts, "rank": used, **content})
    means = {way: {part: mean_ratio(sums, results, part, way, bootstrap) for part in PARTS} for way in EXPECTATIONS}
    judged = {
        convention: {"cross_entropy_ratio": judged_together(sums, results, ways, bootstrap)}
        for convention, ways in JUDGED.items()
    }
    return {
        "cross_entropy": {"clean": mean_of(clean, 0)},
        "saes": results,
        "mean_ratio": means,
        "estimands": judged["paper"],
        "estimands_by_variant": {"context": judged},
    }


def judged_together(
    sums: Sums, saes: Sequence[Mapping[str, Any]], ways: Mapping[str, str], bootstrap: dict[str, Any]
) -> dict[str, Estimate]:
    """Components of the claim ce-proportional."""

    def judged(bootstrap: dict[str, Any]) -> dict[str, Estimate]:
        return {
            f"{part}_by_{name}": mean_ratio(sums, saes, part, way, bootstrap)
            for name, way in ways.items()
            for part in PARTS
        }

    return at_both(judged, bootstrap, len(ways) * len(PARTS))


def undefined(sums: Sums, sae: str, part: str, way: str, key: str) -> str:
    """Why a share or ratio has no value, where it has none."""
    ones = each_once(len(sums["rows"]))
    if key == "ratio" and not np.isfinite(recovered(sums, sae, part)(ones)[0]):
        return NO_COST
    return (
        "the SAE makes no error" if key != "ratio" else f"nothing is expected of this part by {way.replace('_', ' ')}"
    )


def mean_ratio(
    sums: Sums,
    saes: Sequence[Mapping[str, Any]],
    part: str,
    way: str,
    bootstrap: dict[str, Any],
) -> Estimate:
    """Mean over SAEs of recovered over expected, with its interval over contexts and SAEs (`variance`).

    Null where one SAE's ratio is: leaving that SAE out would choose by the result.
    """
    rows = sums["rows"]
    single = [sae["ratio"][way][part] for sae in saes]
    rank = max(sae["rank"] for sae in saes)
    missing = [(sae["name"], one["reason"]) for sae, one in zip(saes, single, strict=True) if one["value"] is None]
    if missing:
        nothing = {"value": None, "low": None, "high": None, "rows": int(rows.sum()), "contexts": len(rows)}
        return nothing | {"rank": rank, "saes": len(saes), "reason": "; ".join(f"{sae}: {why}" for sae, why in missing)}
    statistics = [ratio(sums, sae["name"], part, way) for sae in saes]
    units = ContextBootstrap(len(rows), **bootstrap)
    result = estimate(units, lambda weights: np.mean([one(weights) for one in statistics], 0), rows, rank)
    by_sae = [one["value"] for one in single]
    resampled = np.stack([one(units.weights) for one in statistics])
    shared = shared_share(resampled[:, np.isfinite(resampled).all(0)])
    ends = contexts_and_saes(result["value"], (result["low"], result["high"]), len(rows), by_sae, units.level, shared)
    short = {"short": ends["absent"]["sae"]} if "sae" in ends["absent"] else {}
    return result | ends | short | {"saes": len(saes)}
