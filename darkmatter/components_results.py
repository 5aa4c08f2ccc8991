"""The results file of section 6.2: which regressor explains how much of which target. No torch."""

from typing import Any

from darkmatter.held_out_estimates import PRIMARY

JOINT = {"all-parents": "all parents", "self": "Sae(x)"}


def components_results(
    sae: str, parents: list[str], estimates: dict[str, Any], rows: int, contexts: int
) -> dict[str, Any]:
    """Arrange the estimates and name those that the ledger asks for.

    Args:
        sae: HOOKPOINT/NAME of the SAE whose error is explained.
        parents: HOOKPOINT/NAME of the parents' SAEs.
        estimates: regressor → target → as `held_out_estimates.r2_estimates`; the regressors are `parents` and JOINT.
    """
    split, convention = PRIMARY
    regressors = [
        {
            "regressor": name,
            "label": JOINT.get(name, name.split("/")[0]),
            "saes": parents if name == "all-parents" else [sae if name == "self" else name],
            "targets": estimates[name],
        }
        for name in (*parents, *JOINT)
    ]

    def of_parents(target: str) -> list[dict[str, Any]]:
        return [{"regressor": name} | estimates[name][target][split][convention] for name in parents]

    return {
        "sae": sae,
        "rows": rows,
        "contexts": contexts,
        "regressors": regressors,
        "estimands": {
            "components_explain_error": {"r2": of_parents("error")},
            "components_explain_nonlinear": {"r2": of_parents("nonlinear")},
            "sae_explains_nonlinear": {"r2": estimates["self"]["nonlinear"][split][convention]},
        },
    }
