"""The results file of section 6.2 from sums per context, as they are stored."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from darkmatter.experiments.components.estimates import JOINT, components_results, facts_alone, regressor_estimates
from darkmatter.experiments.components.params import Components
from darkmatter.params.schema import Params
from darkmatter.statistics.joint_levels import joint
from darkmatter.statistics.sae_estimates import Sums
from darkmatter.storage.packed_sums import gather, select

STORED = "components_sums.npz"  # `rows` [row set, context], REGRESSOR/rank/FIT SET
STORED_DIMENSIONS = "components.npz"  # targets/SUM and REGRESSOR/SUM [row set, context, 3·d_model]


def stored(result: Mapping[str, Sums], targets: Sums) -> tuple[dict[str, np.ndarray], dict[str, np.ndarray]]:
    """Content of STORED and of STORED_DIMENSIONS.

    Args:
        result: regressor → what `compute.explain` left.
        targets: what `compute.write_targets` left.
    """
    ranks = {name: {key: sums[key] for key in sums if key.startswith("rank/")} for name, sums in result.items()}
    residuals = {name: {key: sums[key] for key in sums if key.startswith("residual/")} for name, sums in result.items()}
    return {"rows": next(iter(result.values()))["rows"], **gather(ranks)}, gather({"targets": targets, **residuals})


def results_of(scalars: Sums, dimensions: Sums | None, params: Params) -> dict[str, Any]:
    """The results file from both; without `dimensions` numbers of rows, contexts and ranks, but no R²."""
    chosen: Components = params.components
    bootstrap = params.decomposition.bootstrap.model_dump()
    rows, estimates = scalars["rows"], {}
    for name in (*chosen.parents, *JOINT):
        ranks = {key.removeprefix("rank/"): int(rank) for key, rank in select(scalars, name).items()}
        together = joint(bootstrap, len(chosen.parents)) if name in chosen.parents else None
        if dimensions is None:
            estimates[name] = facts_alone(rows, ranks, together)
            continue
        sums = {"rows": rows, **select(dimensions, "targets"), **select(dimensions, name)}
        estimates[name] = regressor_estimates(sums, ranks, bootstrap, together)
    sae = f"{params.figures.main_hookpoint}/{chosen.sae}"
    return components_results(sae, chosen.parents, estimates, int(rows[-1].sum()), rows.shape[1])


def derive(sums: Mapping[str, Sums], committed: dict[str, Any], params: Params) -> dict[str, Any]:
    """The results file again, from STORED and, where it is here, STORED_DIMENSIONS (`Record.derive`)."""
    return results_of(sums[STORED], sums.get(STORED_DIMENSIONS), params)
