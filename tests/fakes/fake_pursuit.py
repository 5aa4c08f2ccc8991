"""Results of the pursuit stage in the format of its pursuit.json, with no model behind them."""

import copy
from typing import Any

from darkmatter.experiments.pursuit.estimates import CLAIMED, VARIANTS, estimands
from darkmatter.params.schema import Params
from darkmatter.statistics.joint_levels import with_ends


def number(value: float, half: float = 0.003) -> dict[str, Any]:
    return {"value": value, "low": value - half, "high": value + half, "rows": 12928, "contexts": 40, "rank": 576}


def side(fvu: float, nonlinear: float, spec: Any) -> dict[str, Any]:
    numbers = {"fvu": number(fvu, 0.01), "fvu_nonlinear": number(nonlinear, 0.01), "vector_r2": number(0.5)}
    estimates = {split: {way: copy.deepcopy(numbers) for way in ("paper", "authors")} for split in ("token", "context")}
    return {"estimates": estimates, "l0": float(spec.k), "dead_latents": 3}


def fake(params: Params) -> dict[str, Any]:
    saes = []
    for spec in params.sae_specs(params.figures.main_hookpoint):
        if spec.group not in params.pursuit.groups:
            continue
        fvu = 0.10 + 1.9 * spec.d_sae**-0.35
        facts = {key: getattr(spec, key) for key in ("name", "group", "architecture", "d_sae", "k", "seed")}
        compared = {
            "decrease": number(0.06),
            "absolute_decrease": number(0.06 * fvu),
            "change": number(-0.04),
            "absolute_change": number(-0.04 * 0.12),
            "share": number(0.04 * 0.12 / (0.06 * fvu)),
        }
        variants = {
            variant: side(0.94 * fvu, 0.96 * 0.12, spec)
            | {
                "compared": {
                    split: {way: copy.deepcopy(compared) for way in ("paper", "authors")}
                    for split in ("token", "context")
                },
                "share_of_tokens_below_l0": share,
            }
            for variant, share in zip(VARIANTS, (0.0, 0.02), strict=True)
        }
        saes.append(facts | {"train_tokens": spec.train_tokens, "encoder": side(fvu, 0.12, spec), "pursuit": variants})
    saes.sort(key=lambda sae: sae["d_sae"])
    compared_by_sae = {sae["name"]: sae["pursuit"][CLAIMED]["compared"] for sae in saes}
    facts = {"hookpoint": params.figures.main_hookpoint, "contexts": 40, "rows": 32920, "d_model": 576}
    fits = {split: {"fit_rows": 19992, "rank": 576, "condition_number": 4e2} for split in ("token", "context")}
    return facts | {
        "claimed": CLAIMED,
        "variants": VARIANTS,
        "regressions": fits,
        "saes": saes,
        "estimands": estimands(with_ends(compared_by_sae, None, 0.999, 0.999), "token", "paper"),
    }
