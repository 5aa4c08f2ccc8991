"""Small synthetic results in the exact formats of reports/PROFILE/results/: plausible trends, no model behind them."""

import copy
import json
import math
from pathlib import Path
from typing import Any

import fake_architectures
import fake_components
import fake_controls
import fake_downstream
import fake_error_saes
import fake_ground_truth
import fake_interpretability
import fake_latent_probe
import fake_linear_rank
import fake_norm_baselines
import fake_nulls
import fake_pursuit
import fake_random_features
import fake_synthetic_noise
import numpy as np

from darkmatter.params.schema import Params
from darkmatter.results.load import Results

ROOT = Path(__file__).resolve().parents[2]
MADE: dict[str, Results] = {}  # by parameters and model: with every annotation checked, results take seconds to make


def fake_estimate(value: float, half: float = 0.01) -> dict[str, Any]:
    return {"value": value, "low": value - half, "high": value + half, "rows": 32400, "contexts": 100, "rank": 576}


def null_estimate(reason: str = "the target has no variance") -> dict[str, Any]:
    return {"value": None, "low": None, "high": None, "rows": 32400, "contexts": 100, "rank": 576, "reason": reason}


def fake_sae(spec: Any, layer: int, rng: np.random.Generator) -> dict[str, Any]:
    jitter = lambda: 0.004 * float(rng.normal())  # noqa: E731
    fvu = 0.10 + 1.9 * spec.d_sae**-0.35 * (32 / spec.k) ** 0.3 + jitter()
    nonlinear = min(0.13 * (32 / spec.k) ** 0.25 + jitter(), 0.95 * fvu)
    middle = math.exp(-(((layer - 14) / 14) ** 2))
    norm_r2 = 0.5 + 0.4 * middle - 0.02 * math.log2(spec.d_sae / 512) + 0.02 * math.log2(spec.k / 32) + jitter()
    vector_r2 = 1 - nonlinear / fvu
    variant = {
        "norm_r2": fake_estimate(norm_r2),
        "vector_r2": fake_estimate(vector_r2),
        "fvu": fake_estimate(fvu, 0.004),
        "fvu_nonlinear": fake_estimate(nonlinear, 0.003),
        "fvu_per_dim": fake_estimate(fvu * 1.05),
        "fvu_nonlinear_per_dim": fake_estimate(nonlinear * 1.05),
        "norm_test": {
            "x": fake_estimate(0.985 + jitter()),
            "sae": fake_estimate(0.95 + jitter()),
            "error": fake_estimate(norm_r2),
            "linear": fake_estimate(0.9 + 2 * jitter()),
            "nonlinear": fake_estimate(norm_r2 - 0.03 + jitter()),
        },
        "norm_ratio": fake_estimate(0.93 + jitter()),
        "cos_linear_x": fake_estimate(0.45 + jitter()),
        "linear_norm_sq": fake_estimate(900 * (fvu - nonlinear)),
        "nonlinear_norm_sq": fake_estimate(900 * nonlinear),
    }
    cross = {"linear": fake_estimate(0.88 + jitter()), "nonlinear": fake_estimate(norm_r2 - 0.08 + jitter())}
    estimates = {
        split: {"paper": copy.deepcopy(variant | {"norm_test_cross_fit": cross}), "authors": copy.deepcopy(variant)}
        for split in ("token", "context")
    }
    return {
        "name": spec.name,
        "group": spec.group,
        "architecture": spec.architecture,
        "d_sae": spec.d_sae,
        "k": spec.k,
        "seed": spec.seed,
        "train_tokens": spec.train_tokens,
        "l0": spec.k - 0.1,
        "dead_latents": spec.d_sae // 40,
        "estimates": estimates,
    }


def fake_results(params: Params, model: str | None = None) -> Results:
    """Results of every configured SAE, to be changed at will. Seeded: the same parameters give the same results."""
    key = f"{params!r} {model}"
    if key not in MADE:
        MADE[key] = made(params, model or params.model.label)
    return copy.deepcopy(MADE[key])


def made(params: Params, model: str) -> Results:
    rng = np.random.default_rng(0)
    decomposition = {
        hookpoint: {
            "hookpoint": hookpoint,
            "model": model,
            "rows": 82300,
            "contexts": 100,
            "d_model": 576,
            "positions": [200, 1022],
            "regressions": {
                split: {"fit_rows": 49980, "rank": 576, "condition_number": 1.2e5} for split in ("token", "context")
            },
            "saes": [fake_sae(spec, int(hookpoint.rsplit(".", 1)[1]), rng) for spec in params.sae_specs(hookpoint)],
        }
        for hookpoint in params.hookpoints
    }
    return Results(
        decomposition,
        {
            "per_token_scaling": fake_scaling(params, rng),
            "error_saes": fake_error_saes.fake(params),
            "interpretability": fake_interpretability.fake(params),
            "downstream": fake_downstream.fake(params),
            "norm_baselines": fake_norm_baselines.fake(params),
            "pursuit": fake_pursuit.fake(params),
            "controls": fake_controls.fake(params),
            "components": fake_components.fake(params),
            "latent_probe": fake_latent_probe.fake(params),
            "synthetic_noise": fake_synthetic_noise.fake(params),
            "linear_rank": fake_linear_rank.fake(params),
            "nulls": fake_nulls.fake(params),
            "ground_truth": fake_ground_truth.fake(params),
            "architectures": fake_architectures.fake(params),
            "random_features": fake_random_features.fake(params),
        },
    )


def fake_scaling(params: Params, rng: np.random.Generator) -> dict[str, Any]:
    specs = [
        spec
        for spec in params.sae_specs(params.figures.main_hookpoint)
        if spec.group in params.per_token_scaling.groups
    ]
    shown = params.per_token_scaling.tokens_shown
    common = rng.normal(size=shown)
    error = {spec.name: 900 * np.exp(0.5 * common + 0.15 * rng.normal(size=shown)) * spec.d_sae**-0.2 for spec in specs}
    pairs = [
        {
            "sae_1": one.name,
            "sae_2": two.name,
            "d_sae_1": one.d_sae,
            "d_sae_2": two.d_sae,
            "estimates": {
                split: {
                    variant: fake_estimate(0.97 - 0.05 * math.log2(two.d_sae / one.d_sae) - drop)
                    for variant, drop in (("paper", 0), ("authors", 0.02), ("through_origin", 0.04))
                }
                for split in ("token", "context")
            },
            "nonlinear": {
                split: {
                    variant: {
                        "r2": fake_estimate(0.975),
                        "decrease": fake_estimate(0.03 + 0.004 * math.log2(one.d_sae / 32)),
                        "absolute": fake_estimate(0.003, 0.001),
                    }
                    for variant in ("paper", "authors", "through_origin", "cross_fit")
                }
                for split in ("token", "context")
            },
        }
        for one in specs
        for two in specs
        if one.d_sae < two.d_sae
    ]
    tokens = {
        "context": 3,
        "positions": list(range(params.tokens.first_position, params.tokens.first_position + shown)),
        "token_ids": list(range(shown)),
        "text": [f" word{i}" for i in range(shown)],
        "saes": [
            {
                "name": spec.name,
                "d_sae": spec.d_sae,
                "error_sq": error[spec.name].tolist(),
                "linear_sq": (0.4 * error[spec.name] * (512 / spec.d_sae) ** 0.4).tolist(),
                "nonlinear_sq": (0.5 * error[spec.name] * (spec.d_sae / 512) ** 0.15).tolist(),
            }
            for spec in specs
        ],
        "mean_nonlinear_sq": {spec.name: 118.0 + i for i, spec in enumerate(specs)},
        "mean_linear_sq": {spec.name: 140.0 * 0.75**i for i, spec in enumerate(specs)},
    }
    estimands = {
        "per_token_scaling": {
            "distance": fake_estimate(-0.05),
            "r2": [{"pair": f"{pair['sae_1']} to {pair['sae_2']}"} | fake_estimate(0.9) for pair in pairs],
        },
        "per_token_part_slopes": {
            "linear": fake_estimate(-0.1),
            "nonlinear": fake_estimate(-0.01),
            "tokens": fake_estimate(0.95),
        },
        "nonlinear_scaling_gain": {
            "largest": fake_estimate(0.045),
            "over_linear": fake_estimate(0.01),
            "over_shuffled": fake_estimate(0.04),
        },
    }
    variants = {split: {"paper": estimands, "authors": estimands} for split in ("token", "context")}
    return {
        "hookpoint": params.figures.main_hookpoint,
        "pairs": pairs,
        "tokens": tokens,
        "estimands": estimands,
        "estimands_by_variant": variants,
    }


def write_results(results: Results, folder: Path) -> None:
    (folder / "decomposition").mkdir(parents=True, exist_ok=True)
    for hookpoint, content in results.decomposition.items():
        (folder / "decomposition" / f"{hookpoint}.json").write_text(json.dumps(content), encoding="utf-8")
    for name, content in results.experiments.items():
        (folder / f"{name}.json").write_text(json.dumps(content), encoding="utf-8")


def fake_data(params: Params) -> dict[str, Any]:
    sources = {
        name: {
            "package": source.package,
            "sha256": source.sha256,
            "reader": source.reader,
            "domain": source.domain,
            "licence": source.licence,
            "documents": 120,
            "sources": 12,
            "characters": 1234567,
            "dropped": {"exact": 0, "near": 3},
        }
        for name, source in params.corpus.sources.items()
    }
    domains = sorted({source.domain for source in params.corpus.sources.values()})
    return {
        "model": {"label": params.model.label, "package": "a-model==1.0", "layers": 30, "d_model": 576},
        "corpus": {"documents": 840, "sources": sources},
        "tokens": {"counts": {side: dict.fromkeys(domains, 14) for side in ("train", "eval")}},
    }


def fake_token_view() -> dict[str, Any]:
    norms = {"x_sq": 900.0, "error_sq": 90.0, "linear_sq": 50.0, "nonlinear_sq": 40.0}
    return {
        "hookpoint": "resid_post.1",
        "sae": "widths-128-k4-s0",
        "d_sae": 128,
        "k": 4,
        "contexts": [
            {
                "context": context,
                "document": f"words-a/{context}",
                "domain": "alpha",
                "first_position": 16,
                "token_ids": list(range(12)),
                "text": [f" view{index}" for index in range(12)],
            }
            | {name: [base * (1 + index) * (1 + context) for index in range(12)] for name, base in norms.items()}
            for context in range(2)
        ],
    }


def fake_lemmas() -> dict[str, Any]:
    row = {
        "id": "poisson-lambda-one",
        "statement": "Poisson weights with every lambda_i = 1: rho = 3/sqrt(11).",
        "printed": "6/sqrt(66) = 0.73",
        "print_holds": False,
        "derived": {"exact": "3*sqrt(11)/11", "value": 0.904534033733291},
        "monte_carlo": fake_estimate(0.9043, 0.0008),
        "agrees": True,
    }
    other = row | {"id": "bernoulli", "printed": None, "print_holds": None, "derived": {"exact": "1", "value": 1.0}}
    monte_carlo = {"rows": 400000, "features": 8, "seed": 0, "checks": 2, "simultaneous": 0.95}
    return {"lemmas": [row, other], "monte_carlo": monte_carlo}


def fake_receipt(stage: str) -> dict[str, Any]:
    return {
        "stage": stage,
        "command": f"python -m stages.{stage}",
        "profile": "smollm2",
        "params": {},
        "revision": "0123456789abcdef0123456789abcdef01234567+",
        "started": "2026-01-01T00:00:00Z",
        "seconds": 12.34,
        "cpu_seconds": 20.5,
        "peak_memory_bytes": 812345678,
        "machine": {
            "cpu": "Some CPU",
            "cores": 2,
            "workers": 2,
            "threads_per_worker": 1,
            "platform": "Linux",
            "python": "3.11.7",
        },
        "libraries": {"numpy": "2.4"},
        "units": {"computed": ["a", "b"], "reused": ["c"]},
        "code": {},
        "inputs": {"reports/smoke/results/per_token_scaling.json": "ab" * 32},
        "outputs": {},
        "notes": {},
    }
