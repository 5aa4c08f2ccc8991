"""The results file of section 6.2 from sums per context, as they are stored."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from darkmatter.experiments.components.estimates import JOINT, components_results, regressor_estimates, target_sums
from darkmatter.experiments.components.params import Components
from darkmatter.params.schema import Params
from darkmatter.statistics.joint_levels import joint
from darkmatter.statistics.sae_estimates import Sums
from darkmatter.storage.packed_sums import gather, select

STORED = "components_sums.npz"  # `rows` [row set, context]; REGRESSOR/rank/FIT SET; of `target_sums`


def stored(result: Mapping[str, Sums], targets: Sums) -> dict[str, np.ndarray]:
    """Content of STORED.

    Args:
        result: regressor → what `compute.explain` left.
        targets: what `compute.write_targets` left.
    """
    kept = {}
    for name, sums in result.items():
        ranks = {key: array for key, array in sums.items() if key.startswith("rank/")}
        left = {key: array for key, array in sums.items() if key not in ranks}
        kept[name] = ranks | target_sums({**targets, **left}, pooled=name not in JOINT)
    return {"rows": next(iter(result.values()))["rows"], **gather(kept)}


def results_of(arrays: Sums, params: Params) -> dict[str, Any]:
    """The results file from STORED."""
    chosen: Components = params.components
    bootstrap = params.decomposition.bootstrap.model_dump()
    rows, estimates = arrays["rows"], {}
    for name in (*chosen.parents, *JOINT):
        sums = select(arrays, name)
        ranks = {key: int(rank) for key, rank in select(sums, "rank").items()}
        together = joint(bootstrap, len(chosen.parents)) if name in chosen.parents else None
        estimates[name] = regressor_estimates(rows, sums, ranks, bootstrap, together)
    sae = f"{params.figures.main_hookpoint}/{chosen.sae}"
    return components_results(sae, chosen.parents, estimates, int(rows[-1].sum()), rows.shape[1])


def derive(sums: Mapping[str, Sums], committed: dict[str, Any], params: Params) -> dict[str, Any]:
    """The results file again, from STORED (`Record.derive`)."""
    return results_of(sums[STORED], params)
