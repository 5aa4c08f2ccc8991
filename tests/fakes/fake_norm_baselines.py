"""Results of the norm_baselines stage, in the format of its JSON, with no model behind them."""

from typing import Any

from darkmatter.ledger.estimands.evidence import EVERY_ROW
from darkmatter.params.schema import Params

R2 = {
    "activation": 0.8,
    "activation_seen": 0.82,
    "token_identity": 0.5,
    "token_identity_seen": 0.6,
    "activation_norm": 0.3,
    "activation_norm_squared": 0.28,
    "model_loss": 0.01,
}
REASON = "it is 32 on every token: no variance"


def number(value: float, half: float = 0.02) -> dict[str, Any]:
    return {"value": value, "low": value - half, "high": value + half, "rows": 32320, "contexts": 100, "rank": 576}


def null() -> dict[str, Any]:
    return {"value": None, "low": None, "high": None, "reason": REASON}


def variant(layer: int, in_sample: bool) -> dict[str, Any]:
    r2 = {name: number(value - 0.01 * layer) for name, value in R2.items()}
    if in_sample:
        r2["token_identity"] = number(0.9 - 0.02 * layer)
    minus = {
        name: number(r2["activation"]["value"] - result["value"])
        for name, result in r2.items()
        if not name.startswith("activation") or name.startswith("activation_norm")
    }
    return {"r2": r2 | {"l0": null()}, "activation_minus": minus | {"l0": null()}}


def fake(params: Params) -> dict[str, Any]:
    specs = [spec for spec in params.sae_specs() if spec.group in params.norm_baselines.groups]
    saes = []
    for spec in specs:
        layer = int(spec.hookpoint.rsplit(".", 1)[1])
        facts = spec.model_dump(include={"name", "hookpoint", "d_sae", "k", "seed"}) | {"layer": layer}
        variants = {"paper": variant(layer, False), "authors": variant(layer, True)}
        both = dict.fromkeys(("token", "context"), variants)
        saes.append(facts | {"estimates": both, "estimates_of_square": both})
    estimands = {"token_identity": number(0.3), "activation_norm": number(0.5), "model_loss": number(0.79)}
    order = estimands | {"l0": null(), "first_layer": number(-0.3)}
    claims = {"norm_baseline_differences": order, "norm_baseline_order": order}
    points = [spec.hookpoint for spec in specs]
    return {
        "groups": params.norm_baselines.groups,
        "depth": 3,
        "first_layer": points[:1],
        "second_half": points[-1:],
        "saes": saes,
        "estimands": claims,
        "estimands_by_variant": {split: {"paper": claims, "authors": claims} for split in ("token", "context")}
        | {str(EVERY_ROW): {"norm_baseline_order": order}},
    }
