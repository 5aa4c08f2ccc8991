"""The results file of section 6.2 from sums per context, as they are stored."""

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np

from darkmatter.experiments.components.estimates import (
    JOINT,
    SELF,
    Estimates,
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
    main, rows = params.figures.main_hookpoint, arrays["rows"]

    def estimates(of_sae: Sums, regressors: Iterable[str]) -> Estimates:
        result = {}
        for name in regressors:
            sums = select(of_sae, name)
            ranks = {key: int(rank) for key, rank in select(sums, "rank").items()}
            together = joint(bootstrap, len(chosen.parents)) if name in chosen.parents else None
            result[name] = regressor_estimates(rows, sums, ranks, bootstrap, together)
        return result

    of_saes = {chosen.sae: estimates(arrays, (*chosen.parents, *JOINT))} | {
        name: estimates(select(arrays, f"{FURTHER}/{name}"), (*chosen.parents, SELF)) for name in chosen.further_saes
    }
    groups = names_alike(params.sae_spec(f"{main}/{name}") for name in of_saes)
    alike = [[of_saes[name] for name in group] for group in groups]
    facts = int(rows[-1].sum()), rows.shape[1]
    return components_results(f"{main}/{chosen.sae}", chosen.parents, of_saes[chosen.sae], *facts, alike)


def derive(sums: Mapping[str, Sums], committed: dict[str, Any], params: Params) -> dict[str, Any]:
    """The results file again, from STORED (`Record.derive`)."""
    return results_of(sums[STORED], params)
