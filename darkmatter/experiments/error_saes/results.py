"""The results file of section 5.2's SAEs from sums per context, as they are stored."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from darkmatter.experiments.error_saes.estimates import Sums, results
from darkmatter.experiments.error_saes.names import PARTS
from darkmatter.experiments.error_saes.params import ErrorSaes
from darkmatter.params.schema import Params

STORED = "error_saes_sums.npz"  # pooled over dimensions, see `stored`
STORED_DIMENSIONS = "error_saes.npz"


def stored(
    scores: Mapping[tuple[str, int], Sums], linear_map: np.ndarray
) -> tuple[dict[str, np.ndarray], dict[str, np.ndarray]]:
    """Content of STORED and of STORED_DIMENSIONS. Targets are those of the part, whatever the seed.

    Args:
        scores: (part, seed) → sums of `compute.score`.
        linear_map: rows, rank and condition number of b*.
    """
    first = {part: next(sums for (of, _), sums in scores.items() if of == part) for part in PARTS}
    pooled, by_dimension = {"rows": first["linear"]["rows"], "linear_map": np.asarray(linear_map)}, {}
    for part, sums in first.items():
        pooled |= {f"{part}/cross": sums["total"] @ sums["total"].T, f"{part}/square": sums["square"].sum(1)}
        pooled[f"{part}/norm_square"] = sums["norm_square"]
        by_dimension |= {f"{part}/{name}": sums[name] for name in ("total", "square")}
    for (part, seed), sums in scores.items():
        pooled[f"{part}/residual/s{seed}"] = sums["residual"].sum(1)
        pooled |= {f"{part}/{name}/s{seed}": sums[name] for name in ("latents", "l0")}
        by_dimension[f"{part}/residual/s{seed}"] = sums["residual"]
    return pooled, by_dimension


def results_of(pooled: Sums, by_dimension: Sums, params: Params) -> dict[str, Any]:
    """The results file from STORED and STORED_DIMENSIONS (empty where it is absent), but for how training went."""
    own: ErrorSaes = params.error_saes
    hookpoint = params.figures.main_hookpoint
    spec = params.sae_spec(f"{hookpoint}/{own.sae}").model_dump(include={"name", "architecture", "d_sae", "k"})
    content = results(pooled, by_dimension, own.seeds, params.decomposition.bootstrap.model_dump())
    return content | {"hookpoint": hookpoint, "sae": spec, "train_tokens": own.train_tokens}


def derive(sums: Mapping[str, Sums], committed: dict[str, Any], params: Params) -> dict[str, Any]:
    """The results file again (`Record.derive`), but for how training went.

    Without STORED_DIMENSIONS the FVU that average over dimensions are left out.
    """
    return results_of(sums[STORED], sums.get(STORED_DIMENSIONS, {}), params)
