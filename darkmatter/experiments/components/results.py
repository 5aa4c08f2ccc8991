"""The results file of section 6.2 from sums per context, as they are stored."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from darkmatter.experiments.components.estimates import (
    JOINT,
    SELF,
    components_results,
    regressor_estimates,
    target_sums,
)
from darkmatter.experiments.components.params import Components
from darkmatter.params.schema import Params
from darkmatter.statistics.joint_levels import joint
from darkmatter.statistics.sae_estimates import Sums
from darkmatter.statistics.seed_noise import names_alike
from darkmatter.storage.packed_sums import gather, select

# `rows` [row set, context]; REGRESSOR/…: rank/FIT SET and what `target_sums` says; FURTHER/SAE/REGRESSOR/… likewise
STORED = "components_sums.npz"
FURTHER = "further"


def stored(
    result: Mapping[str, Sums], targets: Sums, further: Mapping[str, tuple[Mapping[str, Sums], Sums]]
) -> dict[str, np.ndarray]:
    """Content of STORED.

    Args:
        result: regressor → what `compute.explain` left.
        targets: what `compute.write_targets` left.
        further: name of a further SAE → both of it, on the same rows.
    """
    others = {f"{FURTHER}/{name}": gather(kept(*both)) for name, both in further.items()}
    return {"rows": next(iter(result.values()))["rows"], **gather(kept(result, targets)), **gather(others)}


def kept(result: Mapping[str, Sums], targets: Sums) -> dict[str, Sums]:
    """Regressor → its ranks and `target_sums`."""
    of_regressors = {}
    for name, sums in result.items():
        ranks = {key: array for key, array in sums.items() if key.startswith("rank/")}
        left = {key: array for key, array in sums.items() if key not in ranks}
        of_regressors[name] = ranks | target_sums({**targets, **left}, pooled=name not in JOINT)
    return of_regressors


def results_of(arrays: Sums, params: Params) -> dict[str, Any]:
    """The results file from STORED."""
    chosen: Components = params.components
    bootstrap = params.decomposition.bootstrap.model_dump()
    rows, estimates = arrays["rows"], {}
    own = {name: select(arrays, name) for name in (*chosen.parents, *JOINT)}
    for name, sums in own.items():
        ranks = {key: int(rank) for key, rank in select(sums, "rank").items()}
        together = joint(bootstrap, len(chosen.parents)) if name in chosen.parents else None
        estimates[name] = regressor_estimates(rows, sums, ranks, bootstrap, together)
    of_saes = {chosen.sae: own}
    for name in chosen.further_saes:
        further = select(arrays, f"{FURTHER}/{name}")
        of_saes[name] = {regressor: select(further, regressor) for regressor in (*chosen.parents, SELF)}
    alike = [[of_saes[name] for name in group] for group in names_alike(params.at_main(of_saes))]
    sae = f"{params.figures.main_hookpoint}/{chosen.sae}"
    return components_results(sae, chosen.parents, estimates, int(rows[-1].sum()), rows.shape[1], alike)


def derive(sums: Mapping[str, Sums], committed: dict[str, Any], params: Params) -> dict[str, Any]:
    """The results file again, from STORED (`Record.derive`)."""
    return results_of(sums[STORED], params)
