"""Results of the downstream stage in the format of its downstream.json, with no model behind them."""

from typing import Any

from darkmatter.params.schema import Params

PARTS = ("linear", "nonlinear")
WAYS = ("norm", "norm_of_error", "variance", "variance_per_dimension")


def number(value: float, half: float) -> dict[str, Any]:
    return {"value": value, "low": value - half, "high": value + half, "rows": 3292, "contexts": 4, "rank": 576}


def fake_sae(spec: Any, controls: list[str]) -> dict[str, Any]:
    base = 3.0 * spec.d_sae**-0.4
    gained = {"linear": 70.0, "nonlinear": 30.0} | {f"random_{part}": -28.0 for part in controls}
    increase = {"sae": base} | {splice: base * (1 - percent / 100) for splice, percent in gained.items()}
    expected = {
        "norm": {"linear": 21.0, "nonlinear": 25.0},
        "norm_of_error": {"linear": 67.0, "nonlinear": 79.0},
        "variance": {"linear": 39.0, "nonlinear": 56.0},
        "variance_per_dimension": {"linear": 53.0, "nonlinear": 43.0},
    }
    return {
        "name": spec.name,
        "group": spec.group,
        "architecture": spec.architecture,
        "d_sae": spec.d_sae,
        "k": spec.k,
        "seed": spec.seed,
        "train_tokens": spec.train_tokens,
        "rank": 576,
        "cross_entropy": {splice: number(2.9 + nats, 0.4) for splice, nats in increase.items()},
        "increase": {splice: number(nats, 0.02) for splice, nats in increase.items()},
        "recovered_percent": {splice: number(percent, 4) for splice, percent in gained.items()},
        "expected_percent": {way: {part: number(v, 1) for part, v in parts.items()} for way, parts in expected.items()},
        "ratio": {
            way: {part: number(gained[part] / v, 0.05) for part, v in parts.items()} for way, parts in expected.items()
        },
    }


def fake(params: Params) -> dict[str, Any]:
    options = params.downstream
    point = params.figures.main_hookpoint
    saes = [fake_sae(params.sae_spec(f"{point}/{name}"), options.controls) for name in options.saes]
    both = {"low": 0.9, "high": 1.1}
    mean = number(1.0, 0.1) | {"saes": len(saes), "resampled": "sae", "intervals": {"context": both, "sae": both}}
    judged = {"cross_entropy_ratio": {f"{part}_by_{way}": mean for part in PARTS for way in ("norm", "variance")}}
    return {
        "hookpoint": point,
        "model": params.model.label,
        "split": "context",
        "contexts": list(range(options.contexts)),
        "rows": 3292,
        "positions": [params.tokens.first_position, params.tokens.context_length - 2],
        "controls": options.controls,
        "cross_entropy": {"clean": number(2.9, 0.4)},
        "saes": saes,
        "mean_ratio": {way: {"linear": mean, "nonlinear": mean} for way in WAYS},
        "estimands": judged,
        "estimands_by_variant": {"context": {"paper": judged, "authors": judged}},
    }
