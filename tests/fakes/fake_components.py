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


def estimates_of(params: Params, factor: float) -> dict[str, Any]:
    return {
        name: {
            target: three_fits(value * factor * (1 + place))
            | {
                "joint": three_fits(value * factor * (1 + place)) | {"level": 0.98},
                "pooled": three_fits(value * factor * (1 + place)),
            }
            for target, value in R2.items()
        }
        for place, name in enumerate((*params.components.parents, *JOINT))
    }


def fake(params: Params) -> dict[str, Any]:
    """Where there are further SAEs, the first of them differs from `sae` in its seed alone."""
    chosen, own = params.components, estimates_of(params, 1)
    alike = [[own, estimates_of(params, 1.1)]] if chosen.further_saes else []
    return components_results(f"{params.figures.main_hookpoint}/{chosen.sae}", chosen.parents, own, 82300, 100, alike)
