"""The results file of section 5.2's SAEs from sums per context, as they are stored."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from darkmatter.experiments.error_saes.estimates import Sums, results
from darkmatter.experiments.error_saes.names import PARTS
from darkmatter.experiments.error_saes.params import ErrorSaes
from darkmatter.params.schema import Params
from darkmatter.statistics.per_dimension import unexplained_sums

STORED = "error_saes_sums.npz"  # see `stored`


def stored(scores: Mapping[tuple[str, int], Sums], linear_map: np.ndarray) -> dict[str, np.ndarray]:
    """Content of STORED: pooled over dimensions, and `PART/per_dimension/sSEED` of `per_dimension.unexplained_sums`.

    Targets are those of the part, whatever the seed.

    Args:
        scores: (part, seed) → sums of `compute.score`.
        linear_map: rows, rank and condition number of b*.
    """
    first = {part: next(sums for (of, _), sums in scores.items() if of == part) for part in PARTS}
    arrays = {"rows": first["linear"]["rows"], "linear_map": np.asarray(linear_map)}
    for part, sums in first.items():
        arrays |= {f"{part}/cross": np.triu(sums["total"] @ sums["total"].T), f"{part}/square": sums["square"].sum(1)}
        arrays[f"{part}/norm_square"] = sums["norm_square"]
    for (part, seed), sums in scores.items():
        arrays[f"{part}/residual/s{seed}"] = sums["residual"].sum(1)
        arrays |= {f"{part}/{name}/s{seed}": sums[name] for name in ("latents", "l0")}
        targets = [first[part][name] for name in ("rows", "total", "square")]
        arrays[f"{part}/per_dimension/s{seed}"] = unexplained_sums(*targets, sums["residual"])
    return arrays


def results_of(arrays: Sums, params: Params) -> dict[str, Any]:
    """The results file from STORED, but for how training went."""
    own: ErrorSaes = params.error_saes
    hookpoint = params.figures.main_hookpoint
    spec = params.sae_spec(f"{hookpoint}/{own.sae}").model_dump(include={"name", "architecture", "d_sae", "k"})
    content = results(arrays, own.seeds, params.decomposition.bootstrap.model_dump())
    return content | {"hookpoint": hookpoint, "sae": spec, "train_tokens": own.train_tokens}


def derive(sums: Mapping[str, Sums], committed: dict[str, Any], params: Params) -> dict[str, Any]:
    """The results file again (`Record.derive`), but for how training went."""
    return results_of(sums[STORED], params)
