"""Which regressor explains how much of which target, from sums per context. No torch."""

from typing import Any

import numpy as np

from darkmatter.params.conventions import CONVENTIONS, PRIMARY
from darkmatter.regression.splits import ROW_SETS, SPLITS
from darkmatter.statistics.joint_levels import with_ends
from darkmatter.statistics.r2_estimates import of_targets, r2_estimates, r2_of, r2_pooled
from darkmatter.statistics.sae_estimates import Sums

TARGETS = ("error", "linear", "nonlinear")
JUDGED = ("error", "nonlinear")  # of the parents, which one claim judges together
POOLED = "nonlinear"  # of the parents, whose R² also stands pooled over dimensions, as FVU_nonlinear is
BESIDE = ("joint", "pooled")  # of a target: what is for estimands alone
JOINT = {"all-parents": "all parents", "self": "Sae(x)"}


def regressor_estimates(
    sums: Sums, rank: dict[str, int], bootstrap: dict[str, Any], together: dict[str, Any] | None
) -> dict[str, Any]:
    """target → R² as `r2_estimates.r2_estimates`, and under `joint` with intervals that hold together.

    Of POOLED also `pooled`: split → convention → pooled R², with the ends of both levels.

    Args:
        sums: of the targets side by side, and what one regression leaves of them.
        together: the bootstrap of intervals that hold for several regressors at once; None: there is only this one.
    """
    d_model = sums["residual/in-sample"].shape[-1] // len(TARGETS)
    estimates = {}
    for place, target in enumerate(TARGETS):
        own = of_targets(sums, slice(place * d_model, (place + 1) * d_model))
        estimates[target] = r2_estimates(own, rank, bootstrap)
        if together and target in JUDGED:
            estimates[target]["joint"] = {"level": together["level"]} | {
                split: {way: r2_of(own, split, f"residual/{split}/{way}", rank[split], together) for way in CONVENTIONS}
                for split in SPLITS
            }
        if together and target == POOLED:
            own_level = bootstrap | {"resamples": together["resamples"]}
            both = [pooled_estimates(own, rank, at) for at in (own_level, together)]
            estimates[target]["pooled"] = with_ends(*both, bootstrap["level"], together["level"])
    return estimates


def pooled_estimates(sums: Sums, rank: dict[str, int], bootstrap: dict[str, Any]) -> dict[str, Any]:
    """split → convention → R² pooled over dimensions."""
    return {
        split: {
            way: r2_of(sums, split, f"residual/{split}/{way}", rank[split], bootstrap, r2_pooled) for way in CONVENTIONS
        }
        for split in SPLITS
    }


def facts_alone(rows: np.ndarray, rank: dict[str, int], together: dict[str, Any] | None) -> dict[str, Any]:
    """What `regressor_estimates` says of each number beside its value."""
    counted = {
        name: {"rows": int(own.sum()), "contexts": int(np.count_nonzero(own)), "rank": rank[name]}
        for name, own in zip(ROW_SETS, rows, strict=True)
    }
    result = {split: dict.fromkeys(CONVENTIONS, counted[split]) for split in SPLITS} | {"in_sample": counted["all"]}
    jointly = {"joint": result | {"level": together["level"]}} if together else {}
    pooled = {"pooled": {split: result[split] for split in SPLITS}} if together else {}
    return {
        target: result | (jointly if target in JUDGED else {}) | (pooled if target == POOLED else {})
        for target in TARGETS
    }


def components_results(
    sae: str, parents: list[str], estimates: dict[str, Any], rows: int, contexts: int
) -> dict[str, Any]:
    """Arrange the estimates and name those that the ledger asks for.

    Args:
        sae: HOOKPOINT/NAME of the SAE whose error is explained.
        parents: HOOKPOINT/NAME of the parents' SAEs.
        estimates: regressor → target → as `regressor_estimates`; the regressors are `parents` and JOINT.
    """
    regressors = [
        {
            "regressor": name,
            "label": JOINT.get(name, name.split("/")[0]),
            "saes": parents if name == "all-parents" else [sae if name == "self" else name],
            "targets": {
                target: {key: value for key, value in result.items() if key not in BESIDE}
                for target, result in estimates[name].items()
            },
        }
        for name in (*parents, *JOINT)
    ]
    variants = {split: {way: estimands(parents, estimates, split, way) for way in CONVENTIONS} for split in SPLITS}
    return {
        "sae": sae,
        "rows": rows,
        "contexts": contexts,
        "regressors": regressors,
        "estimands": variants[PRIMARY[0]][PRIMARY[1]],
        "estimands_by_variant": variants,
    }


def estimands(parents: list[str], estimates: dict[str, Any], split: str, convention: str) -> dict[str, Any]:
    """What the ledger asks for; those of the parents have the ends that hold together beside their own."""

    def of_parents(target: str) -> list[dict[str, Any]]:
        return [{"regressor": name, **of_parent(estimates[name][target])} for name in parents]

    def of_parent(result: dict[str, Any]) -> dict[str, Any]:
        own, wide = result[split][convention], result.get("joint")
        if not wide or own.get("value") is None:  # no sums of every dimension: there are facts alone
            return own
        ends = {end: wide[split][convention][end] for end in ("low", "high")}
        return own | {"joint": {"level": wide["level"], **ends}}

    return {
        "components_explain_error": {"r2": of_parents("error")},
        "components_explain_nonlinear": {"r2": of_parents("nonlinear")},
        "components_explain_nonlinear_pooled": {
            "r2": [{"regressor": name, **estimates[name][POOLED]["pooled"][split][convention]} for name in parents]
        },
        "sae_explains_nonlinear": {"r2": estimates["self"]["nonlinear"][split][convention]},
    }
