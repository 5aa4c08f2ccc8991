"""The results file of section 6.2: which regressor explains how much of which target. No torch."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from darkmatter.experiments.components.params import Components
from darkmatter.params.conventions import CONVENTIONS, PRIMARY
from darkmatter.params.schema import Params
from darkmatter.regression.splits import ROW_SETS, SPLITS
from darkmatter.statistics.joint_levels import joint, with_ends
from darkmatter.statistics.r2_estimates import of_targets, r2_estimates, r2_of, r2_pooled
from darkmatter.statistics.sae_estimates import Sums
from darkmatter.storage.packed_sums import gather, select
from darkmatter.storage.paths import DATA, RESULTS

STORED = RESULTS / "components_sums.npz"  # `rows` [row set, context], REGRESSOR/rank/FIT SET
STORED_DIMENSIONS = DATA / "sums" / "components.npz"  # targets/SUM and REGRESSOR/SUM [row set, context, 3·d_model]

TARGETS = ("error", "linear", "nonlinear")
JUDGED = ("error", "nonlinear")  # of the parents, which one claim judges together
POOLED = "nonlinear"  # of the parents, whose R² also stands pooled over dimensions, as FVU_nonlinear is
BESIDE = ("joint", "pooled")  # of a target: what is for estimands alone
JOINT = {"all-parents": "all parents", "self": "Sae(x)"}


def stored(found: Mapping[str, Sums], targets: Sums) -> tuple[dict[str, np.ndarray], dict[str, np.ndarray]]:
    """Content of STORED and of STORED_DIMENSIONS.

    Args:
        found: regressor → what `components.explain` left.
        targets: what `components.write_targets` left.
    """
    ranks = {name: {key: sums[key] for key in sums if key.startswith("rank/")} for name, sums in found.items()}
    residuals = {name: {key: sums[key] for key in sums if key.startswith("residual/")} for name, sums in found.items()}
    return {"rows": next(iter(found.values()))["rows"], **gather(ranks)}, gather({"targets": targets, **residuals})


def results_of(scalars: Sums, dimensions: Sums | None, params: Params) -> dict[str, Any]:
    """The results file from both; without `dimensions` numbers of rows, contexts and ranks, but no R²."""
    chosen: Components = params.components
    bootstrap = params.decomposition.bootstrap.model_dump()
    rows, estimates = scalars["rows"], {}
    for name in (*chosen.parents, *JOINT):
        ranks = {key.removeprefix("rank/"): int(rank) for key, rank in select(scalars, name).items()}
        together = joint(bootstrap, len(chosen.parents)) if name in chosen.parents else None
        if dimensions is None:
            estimates[name] = facts_alone(rows, ranks, together)
            continue
        sums = {"rows": rows, **select(dimensions, "targets"), **select(dimensions, name)}
        estimates[name] = regressor_estimates(sums, ranks, bootstrap, together)
    sae = f"{params.figures.main_hookpoint}/{chosen.sae}"
    return components_results(sae, chosen.parents, estimates, int(rows[-1].sum()), rows.shape[1])


def regressor_estimates(
    sums: Sums, rank: dict[str, int], bootstrap: dict[str, Any], together: dict[str, Any] | None
) -> dict[str, Any]:
    """target → R² as `held_out_estimates.r2_estimates`, and under `joint` with intervals that hold together.

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
    found = {split: dict.fromkeys(CONVENTIONS, counted[split]) for split in SPLITS} | {"in_sample": counted["all"]}
    jointly = {"joint": found | {"level": together["level"]}} if together else {}
    pooled = {"pooled": {split: found[split] for split in SPLITS}} if together else {}
    return {
        target: found | (jointly if target in JUDGED else {}) | (pooled if target == POOLED else {})
        for target in TARGETS
    }


def derive(sums: Mapping[str, Sums], committed: dict[str, Any], params: Params) -> dict[str, Any]:
    """The results file again, from STORED and, where it is here, STORED_DIMENSIONS (`Record.derive`)."""
    return results_of(sums[STORED.as_posix()], sums.get(STORED_DIMENSIONS.as_posix()), params)


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
                target: {key: value for key, value in found.items() if key not in BESIDE}
                for target, found in estimates[name].items()
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

    def of_parent(found: dict[str, Any]) -> dict[str, Any]:
        own, wide = found[split][convention], found.get("joint")
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
