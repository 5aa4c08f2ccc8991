"""Results of the components stage, made by the function that makes the real ones, with no model behind them."""

from typing import Any

import numpy as np

from darkmatter.experiments.components.estimates import JOINT, SELF, components_results
from darkmatter.params.conventions import CONVENTIONS
from darkmatter.params.schema import Params
from darkmatter.regression.splits import SPLITS

R2 = {"error": 0.05, "linear": 0.2, "nonlinear": 0.04}


def number(value: float) -> dict[str, Any]:
    return {
        "value": value, "low": value - 0.01, "high": value + 0.01, "rows": 32320, "contexts": 100, "rank": 576,
    }  # fmt: skip


def three_fits(value: float) -> dict[str, Any]:
    splits = {split: {"paper": number(value - drop), "authors": number(value - drop)} for split, drop in (
        ("token", 0.0), ("context", 0.02))}  # fmt: skip
    return splits | {"in_sample": number(value + 0.02)}


def fake_sums(params: Params, factor: float) -> dict[str, Any]:
    """Regressor → the pairs of `target_sums`, of one context."""
    keys = [f"{split}/{way}" for split in SPLITS for way in CONVENTIONS]
    left = {name: 1 - factor * R2["nonlinear" if name == "pooled" else name] for name in (*R2, "pooled")}
    pairs = {f"{name}/{key}": np.full((2, 1), share) for name, share in left.items() for key in keys}
    return dict.fromkeys((*params.components.parents, SELF), pairs)


def fake(params: Params) -> dict[str, Any]:
    """Where there are further SAEs, the first of them differs from `sae` in its seed alone."""
    chosen = params.components
    estimates = {
        name: {
            target: three_fits(value * (1 + place))
            | {"joint": three_fits(value * (1 + place)) | {"level": 0.98}, "pooled": three_fits(value * (1 + place))}
            for target, value in R2.items()
        }
        for place, name in enumerate((*chosen.parents, *JOINT))
    }
    alike = [[fake_sums(params, factor) for factor in (1, 1.1)]] if chosen.further_saes else []
    sae = f"{params.figures.main_hookpoint}/{chosen.sae}"
    return components_results(sae, chosen.parents, estimates, 82300, 100, alike)
