"""A result as a file of SAEBench's `core` evaluation, so that it stands beside those of other evaluations.

What the schema asks for and no decomposition measures is NaN there, and named in `eval_result_unstructured`, which
holds the intervals and all other estimates too.
"""

import contextlib
import importlib.metadata
import json
import math
import time
import uuid
from pathlib import Path
from typing import Any

from darkmatter.api.result import Decomposed
from darkmatter.api.results import DecomposedSaes
from darkmatter.storage.artifacts import write_text

VERSION = "0.6.0"  # of SAEBench, whose schema this is
CATEGORIES = {
    "model_behavior_preservation": ("kl_div_score", "kl_div_with_ablation", "kl_div_with_sae"),
    "model_performance_preservation": (
        "ce_loss_score",
        "ce_loss_with_ablation",
        "ce_loss_with_sae",
        "ce_loss_without_sae",
    ),
    "reconstruction_quality": ("explained_variance", "explained_variance_legacy", "mse", "cossim"),
    "shrinkage": ("l2_norm_in", "l2_norm_out", "l2_ratio", "relative_reconstruction_bias"),
    "sparsity": ("l0", "l1"),
    "misc_metrics": (
        "freq_over_1_percent",
        "freq_over_10_percent",
        "normalized_freq_over_1_percent",
        "normalized_freq_over_10_percent",
        "average_max_encoder_cosine_sim",
        "average_max_decoder_cosine_sim",
        "frac_alive",
    ),
}


def to_saebench(result: Decomposed, release: str | None = None, sae_id: str | None = None) -> dict[str, Any]:
    """The document of one SAE.

    `explained_variance` is 1 − FVU on all rows, as sae-lens computes it (SAEBench 0.6.0 subtracts the square of a mean
    of squares where the square of the mean belongs); FVU on held-out rows is among the estimates.

    Args:
        release, sae_id: of sae-lens's registry.
    """
    known = {**result.core, "l0": result.l0}
    known["explained_variance"] = 1 - result.estimate("fvu", convention="authors")["value"]
    metrics: dict[str, dict[str, Any]] = {
        category: {name: math.nan if known.get(name) is None else known[name] for name in names}
        for category, names in CATEGORIES.items()
    }
    metrics["token_stats"] = {
        "total_tokens_eval_reconstruction": 0,
        "total_tokens_eval_sparsity_variance": result.rows,
    }
    missing = [name for category in metrics.values() for name, value in category.items() if math.isnan(value)]
    return {
        "eval_type_id": "core",
        "eval_config": {
            "compute_l2_norms": True,
            "compute_sparsity_metrics": result.l0 is not None,
            "compute_variance_metrics": True,
            "n_eval_reconstruction_batches": 0,
        },
        "eval_id": str(uuid.uuid4()),
        "datetime_epoch_millis": int(time.time() * 1000),
        "eval_result_metrics": metrics,
        "eval_result_details": [],
        "sae_bench_commit_hash": f"none: written by darkmatter in the schema of SAEBench {VERSION}",
        "sae_lens_id": sae_id,
        "sae_lens_release_id": release,
        "sae_lens_version": sae_lens_version(),
        "sae_cfg_dict": result.source.get("sae"),
        "eval_result_unstructured": {"not_measured": missing, "decomposition": result.content()},
    }


def sae_lens_version() -> str | None:
    """None where it is not installed: an SAE of one's own class needs none."""
    with contextlib.suppress(importlib.metadata.PackageNotFoundError):
        return importlib.metadata.version("sae-lens")
    return None


def write_all(result: Decomposed | DecomposedSaes, folder: Path) -> list[Path]:
    """One file for each SAE, NAME_eval_results.json as SAEBench names them."""
    folder.mkdir(parents=True, exist_ok=True)
    results = result if isinstance(result, DecomposedSaes) else {"": result}
    paths = []
    for name, one in results.items():
        stem = name or Path(one.source.get("sae", {}).get("reference", "sae")).name
        paths.append(folder / f"{stem.replace('/', '_')}_eval_results.json")
        write_text(paths[-1], json.dumps(to_saebench(one), indent=2, ensure_ascii=False) + "\n")
    return paths
