"""Which regressor explains how much of which target, from sums per context. No torch."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from darkmatter.params.conventions import CONVENTIONS, PRIMARY
from darkmatter.regression.splits import ROW_SETS, SPLITS
from darkmatter.statistics.bootstrap import ContextBootstrap, each_once
from darkmatter.statistics.estimate import Estimate
from darkmatter.statistics.joint_levels import with_ends
from darkmatter.statistics.per_dimension import mean_of_ratios, pooled_sums, unexplained_sums
from darkmatter.statistics.r2_estimates import of_targets, scored
from darkmatter.statistics.sae_estimates import Sums, estimate
from darkmatter.statistics.seed_noise import of_one

TARGETS = ("error", "linear", "nonlinear")
JUDGED = ("error", "nonlinear")  # of the parents, which one claim judges together
POOLED = "nonlinear"  # of the parents, whose R² also stands pooled over dimensions, as FVU_nonlinear is
IN_SAMPLE = "in-sample"  # the fit on all rows, scored on them
POOLED_NUMBER = "pooled"
BESIDE = ("joint", POOLED_NUMBER)  # of a target: what is for estimands alone
SELF = "self"
JOINT = {"all-parents": "all parents", SELF: "Sae(x)"}
PARENTS_SEED = {"seed of the parents": "the SAE of each parent was trained from one seed: its noise is not known"}

OfRegressors = Mapping[str, Sums]  # regressor → `target_sums`


def scored_residuals() -> dict[str, str]:
    """Key of the squared residuals of each fit → the row set that they are scored on."""
    return {f"{split}/{way}": split for split in SPLITS for way in CONVENTIONS} | {IN_SAMPLE: "all"}


def target_sums(sums: Sums, pooled: bool) -> dict[str, np.ndarray]:
    """What R² of every target follows from, [2, context] each, of the contexts that have rows (`per_dimension`).

    `TARGET/FIT` for the mean over dimensions; `pooled/FIT` of POOLED, held out.

    Args:
        sums: of the targets side by side, and what one regression leaves of them.
    """
    d_model = sums[f"residual/{IN_SAMPLE}"].shape[-1] // len(TARGETS)
    result = {}
    for place, target in enumerate(TARGETS):
        own = of_targets(sums, slice(place * d_model, (place + 1) * d_model))
        for fit, row_set in scored_residuals().items():
            columns = scored(own, row_set, f"residual/{fit}")
            result[f"{target}/{fit}"] = unexplained_sums(*columns)
            if pooled and target == POOLED and fit != IN_SAMPLE:
                result[f"{POOLED_NUMBER}/{fit}"] = pooled_sums(*columns)
    return result


def regressor_estimates(
    rows: np.ndarray, sums: Sums, rank: dict[str, int], bootstrap: dict[str, Any], together: dict[str, Any] | None
) -> dict[str, Any]:
    """target → split → convention → R², `in_sample`, and under `joint` with intervals that hold together.

    Of POOLED also `pooled`: split → convention → pooled R², with the ends of both levels.

    Args:
        rows: [row set, context].
        sums: of `target_sums`.
        together: the bootstrap of intervals that hold for several regressors at once; None: there is only this one.
    """

    def r2(name: str, fit: str, row_set: str, at: dict[str, Any]) -> Estimate:
        used, pair = rows[ROW_SETS.index(row_set)], sums[f"{name}/{fit}"]
        used = used[used > 0]
        units = ContextBootstrap(len(used), **at)
        return estimate(units, lambda weights: 1 - mean_of_ratios(weights, pair), used, rank[row_set])

    def held_out(name: str, at: dict[str, Any]) -> dict[str, Any]:
        return {split: {way: r2(name, f"{split}/{way}", split, at) for way in CONVENTIONS} for split in SPLITS}

    estimates = {}
    for target in TARGETS:
        estimates[target] = held_out(target, bootstrap) | {"in_sample": r2(target, IN_SAMPLE, "all", bootstrap)}
        if together and target in JUDGED:
            estimates[target]["joint"] = {"level": together["level"]} | held_out(target, together)
        if together and target == POOLED:
            own_level = bootstrap | {"resamples": together["resamples"]}
            both = [held_out(POOLED_NUMBER, at) for at in (own_level, together)]
            estimates[target][POOLED_NUMBER] = with_ends(*both, bootstrap["level"], together["level"])
    return estimates


def components_results(
    sae: str,
    parents: list[str],
    estimates: dict[str, Any],
    rows: int,
    contexts: int,
    alike: Sequence[Sequence[OfRegressors]] = (),
) -> dict[str, Any]:
    """Arrange the estimates and name those that the ledger asks for.

    Args:
        sae: HOOKPOINT/NAME of the SAE whose error is explained.
        parents: HOOKPOINT/NAME of the parents' SAEs.
        estimates: regressor → target → as `regressor_estimates`; the regressors are `parents` and JOINT.
        alike: of SAEs that differ in their training seed alone, in groups; of `parents` and SELF at least.
    """
    regressors = [
        {
            "regressor": name,
            "label": JOINT.get(name, name.split("/")[0]),
            "saes": parents if name == "all-parents" else [sae if name == SELF else name],
            "targets": {
                target: {key: value for key, value in result.items() if key not in BESIDE}
                for target, result in estimates[name].items()
            },
        }
        for name in (*parents, *JOINT)
    ]
    variants = {
        split: {way: estimands(parents, estimates, split, way, alike) for way in CONVENTIONS} for split in SPLITS
    }
    return {
        "sae": sae,
        "rows": rows,
        "contexts": contexts,
        "regressors": regressors,
        "estimands": variants[PRIMARY[0]][PRIMARY[1]],
        "estimands_by_variant": variants,
    }


def estimands(
    parents: list[str],
    estimates: dict[str, Any],
    split: str,
    convention: str,
    alike: Sequence[Sequence[OfRegressors]] = (),
) -> dict[str, Any]:
    """What the ledger asks for; those of the parents have the ends that hold together beside their own."""

    def with_seed(own: Estimate, regressor: str, number: str) -> Estimate:
        """With what another seed of the explained SAE does to it, where that is known.

        Args:
            number: a target, or POOLED_NUMBER.
        """
        values = [[r2_of(sae[regressor][f"{number}/{split}/{convention}"]) for sae in group] for group in alike]
        seeds = of_one(own["value"], values)
        return own | seeds | ({"absent": PARENTS_SEED} if seeds and regressor in parents else {})

    def of_parents(target: str) -> list[dict[str, Any]]:
        return [{"regressor": name, **jointly(estimates[name][target], name, target)} for name in parents]

    def jointly(result: dict[str, Any], name: str, target: str) -> Estimate:
        own, wide = with_seed(result[split][convention], name, target), result.get("joint")
        if not wide or own["value"] is None:
            return own
        ends = {end: wide[split][convention][end] for end in ("low", "high")}
        return own | {"joint": {"level": wide["level"], **ends}}

    def of_pooled(name: str) -> dict[str, Any]:
        own = estimates[name][POOLED][POOLED_NUMBER][split][convention]
        return {"regressor": name, **with_seed(own, name, POOLED_NUMBER)}

    itself = estimates[SELF]["nonlinear"][split][convention]
    return {
        "components_explain_error": {"r2": of_parents("error")},
        "components_explain_nonlinear": {"r2": of_parents("nonlinear")},
        "components_explain_nonlinear_pooled": {"r2": [of_pooled(name) for name in parents]},
        "sae_explains_nonlinear": {"r2": with_seed(itself, SELF, "nonlinear")},
    }


def r2_of(pair: np.ndarray) -> float:
    """R² without an interval, from a pair of `target_sums`."""
    return 1 - float(mean_of_ratios(each_once(pair.shape[-1]), pair)[0])
