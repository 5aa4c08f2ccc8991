"""Results of the controls stage, in the format of its JSON, with no model behind them."""

from typing import Any

from darkmatter.experiments.controls.estimates import control_list
from darkmatter.params.schema import Params


def number(value: float, half: float = 0.01) -> dict[str, Any]:
    return {"value": value, "low": value - half, "high": value + half, "rows": 12928, "contexts": 40, "rank": 576}


def fake(params: Params) -> dict[str, Any]:
    exact = {"bernoulli": 1.0, "poisson": 0.92, "exponential": 0.75}
    rows = []
    for control in control_list(params.controls.planted_shares, exact):
        value = 0.5 if control.value is None else control.value
        variant = {"r2": number(value - 0.03), "found": number(value), "holds": True}
        row = {"id": control.id, "control": control.text, "relation": control.relation, "value": control.value}
        rows.append(row | {"expected": control.expected, "token": variant, "context": dict(variant)})
    ending = {"starts": 20, "asymptote": 0.14, "exponent": 0.6, "rss": 1e-6, "flat": False}
    return {
        "hookpoint": params.figures.main_hookpoint,
        "sae": params.controls.sae,
        "contexts": params.controls.contexts,
        "positions": params.tokens.positions,
        "controls": rows,
        "simultaneous": 0.95,
        "checks": len(rows),
        "power_law_starts": {
            "starts": 20,
            "agreeing": 20,
            "flat": 0,
            "endings": [ending],
            "holds": True,
            "reason": None,
        },
    }
