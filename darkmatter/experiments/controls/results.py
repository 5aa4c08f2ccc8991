"""The results file of the controls from stored sums. No torch."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from darkmatter.experiments.controls.estimates import TARGETS, Arrays, Control, check, control_list
from darkmatter.experiments.controls.facts import feature_r2, scaling_starts
from darkmatter.experiments.controls.params import Controls
from darkmatter.params.schema import Params
from darkmatter.regression.splits import SPLITS
from darkmatter.storage.packed_sums import gather, select

STORED = "controls_sums.npz"  # SOURCE/SUM of norm probes; and the points of the power law
STORED_DIMENSIONS = "controls.npz"  # SOURCE/SUM of vector probes, all targets

SCORED = ("total", "square", *(f"residual/{split}/paper" for split in SPLITS))  # [row set, context, target]
# The norm, and the dimension before it: a column that stands alone in memory is added up in another order, so that the
# last digit would be another one than from all columns.
LAST = slice(-2, None)
POWER_LAW = "power_law"


def listed(params: Params) -> list[Control]:
    options: Controls = params.controls
    return control_list(options.planted_shares, feature_r2(options.feature_probability))


def stored(
    sums: Mapping[str, Arrays], points: Arrays, params: Params
) -> tuple[dict[str, np.ndarray], dict[str, np.ndarray]]:
    """Content of STORED and of STORED_DIMENSIONS.

    Args:
        sums: source → sums over its targets, as the units of the stage leave them.
        points: as `facts.scaling_points`.
    """
    controls = listed(params)
    norms = {one.source: kept(sums[one.source], LAST) for one in controls if one.target == "norm"}
    vectors = {one.source: kept(sums[one.source], TARGETS["all"]) for one in controls if one.target != "norm"}
    return gather(norms | {POWER_LAW: points}), gather(vectors)


def kept(arrays: Arrays, targets: slice) -> dict[str, np.ndarray]:
    """What the controls read of the sums of one regression, for some of its targets."""
    facts = {name: array for name, array in arrays.items() if name in ("rows", "leverage") or name.startswith("rank/")}
    return facts | {name: arrays[name][: len(SPLITS), :, targets] for name in SCORED}


def results_of(scalars: Arrays, dimensions: Arrays | None, params: Params) -> dict[str, Any]:
    """The results file from both; without `dimensions` all but the numbers of vector probes."""
    controls = listed(params)
    held = {target: scalars if target == "norm" else dimensions for target in TARGETS}
    sums = {one.sums: select(held[one.target], one.source) for one in controls if held[one.target] is not None}
    rows = next(arrays["rows"] for arrays in sums.values())
    facts = {"hookpoint": params.figures.main_hookpoint, "sae": params.controls.sae}
    facts |= {"contexts": rows.shape[1], "positions": int(rows[-1].sum()) // rows.shape[1]}
    checked = check(controls, sums, params.decomposition.bootstrap.model_dump())
    return facts | checked | {"power_law_starts": scaling_starts(**select(scalars, POWER_LAW), params=params)}


def derive(sums: Mapping[str, Arrays], committed: dict[str, Any], params: Params) -> dict[str, Any]:
    """The results file again, from STORED and, where it is here, STORED_DIMENSIONS (`Record.derive`)."""
    return results_of(sums[STORED], sums.get(STORED_DIMENSIONS), params)
