"""Results of the stage error_saes in their exact format, without a model."""

from typing import Any

from darkmatter.params.schema import Params

VALUES = {"linear": {"fvu": 0.54, "fvu_per_dim": 0.56}, "nonlinear": {"fvu": 0.59, "fvu_per_dim": 0.65}}


def estimate(value: float, half: float, **facts: Any) -> dict[str, Any]:
    return {"value": value, "low": value - half, "high": value + half, "rows": 32400, "contexts": 100, **facts}


def fake(params: Params) -> dict[str, Any]:
    own = params.error_saes
    points = params.saes.training.curve_points
    saes = [
        {
            "part": part,
            "seed": seed,
            "curve": [
                {
                    "dead_share": 0.0,
                    "fvu": VALUES[part]["fvu"] - 0.04 + 0.4 / (step + 1) + 0.002 * number,
                    "learning_rate": 0.003,
                    "tokens": (step + 1) * own.train_tokens // points,
                }
                for step in range(points)
            ],
            "d_sae": own.d_sae,
            "dead_latents": 0,
            "dropped_outliers": 2,
            "k": own.k,
            "l0": float(own.k),
            "tokens": own.train_tokens,
            "train_fvu": VALUES[part]["fvu"] - 0.04,
            **{name: estimate(value + 0.002 * number, 0.008, rank=576) for name, value in VALUES[part].items()},
        }
        for part in VALUES
        for number, seed in enumerate(own.seeds)
    ]
    facts = {"rank": 576, "seeds": len(own.seeds), "deviation_contexts": 0.004, "deviation_seeds": 0.001}
    over_seeds = {
        measure: {part: estimate(VALUES[part][measure], 0.01, **facts) for part in VALUES}
        | {"difference": estimate(VALUES["nonlinear"][measure] - VALUES["linear"][measure], 0.005, **facts)}
        for measure in ("fvu", "fvu_per_dim")
    }
    return {
        "hookpoint": params.figures.main_hookpoint,
        "sae": {"name": own.sae, "architecture": "topk", "d_sae": 1024, "k": 32},
        "train_tokens": own.train_tokens,
        "linear_map": {"fit_rows": 105344, "rank": 576, "condition_number": 396.4},
        "norm_ratio": estimate(0.95, 0.01, rank=576),
        "saes": saes,
        "over_seeds": over_seeds,
        "estimands": {"error_sae_fvu": over_seeds["fvu"]},
    }
