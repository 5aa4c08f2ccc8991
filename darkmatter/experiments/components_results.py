"""The results file of section 6.2: which regressor explains how much of which target. No torch."""

from typing import Any

from darkmatter.conventions import CONVENTIONS, PRIMARY
from darkmatter.splits import SPLITS

JOINT = {"all-parents": "all parents", "self": "Sae(x)"}


def components_results(
    sae: str, parents: list[str], estimates: dict[str, Any], rows: int, contexts: int
) -> dict[str, Any]:
    """Arrange the estimates and name those that the ledger asks for.

    Args:
        sae: HOOKPOINT/NAME of the SAE whose error is explained.
        parents: HOOKPOINT/NAME of the parents' SAEs.
        estimates: regressor → target → as `held_out_estimates.r2_estimates`, with the
            same at a joint level under `joint`; the regressors are `parents` and JOINT.
    """
    regressors = [
        {
            "regressor": name,
            "label": JOINT.get(name, name.split("/")[0]),
            "saes": parents if name == "all-parents" else [sae if name == "self" else name],
            "targets": {
                target: {key: value for key, value in found.items() if key != "joint"}
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
    """What the ledger asks for; the intervals of the parents hold together, at the level that each states."""

    def of_parents(target: str) -> list[dict[str, Any]]:
        found = [estimates[name][target].get("joint", estimates[name][target]) for name in parents]
        levels = [{"level": one["level"]} if "level" in one else {} for one in found]
        return [
            {"regressor": name, **level, **one[split][convention]}
            for name, level, one in zip(parents, levels, found, strict=True)
        ]

    return {
        "components_explain_error": {"r2": of_parents("error")},
        "components_explain_nonlinear": {"r2": of_parents("nonlinear")},
        "sae_explains_nonlinear": {"r2": estimates["self"]["nonlinear"][split][convention]},
    }
