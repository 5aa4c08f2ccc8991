"""Results of the components stage, made by the function that makes the real ones, with no model behind them."""

from typing import Any

from darkmatter.experiments.components.estimates import JOINT, components_results
from darkmatter.params.schema import Params

R2 = {"error": 0.05, "linear": 0.2, "nonlinear": 0.04}


def number(value: float) -> dict[str, Any]:
    return {
        "value": value, "low": value - 0.01, "high": value + 0.01, "rows": 32320, "contexts": 100, "rank": 576,
    }  # fmt: skip


def three_fits(value: float) -> dict[str, Any]:
    splits = {split: {"paper": number(value - drop), "authors": number(value - drop)} for split, drop in (
        ("token", 0.0), ("context", 0.02))}  # fmt: skip
    return splits | {"in_sample": number(value + 0.02)}


def fake(params: Params) -> dict[str, Any]:
    parents = params.components.parents
    estimates = {
        name: {
            target: three_fits(value * (1 + place))
            | {"joint": three_fits(value * (1 + place)) | {"level": 0.98}, "pooled": three_fits(value * (1 + place))}
            for target, value in R2.items()
        }
        for place, name in enumerate((*parents, *JOINT))
    }
    sae = f"{params.figures.main_hookpoint}/{params.components.sae}"
    return components_results(sae, parents, estimates, 82300, 100)
