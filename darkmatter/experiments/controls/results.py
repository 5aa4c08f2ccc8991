"""The results file of the controls from stored sums. No torch."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from darkmatter.experiments.controls.estimates import TARGETS, Arrays, Control, check, control_list
from darkmatter.experiments.controls.facts import feature_r2, scaling_starts
from darkmatter.experiments.controls.params import Controls
from darkmatter.params.schema import Params
from darkmatter.regression.splits import SPLITS
from darkmatter.statistics.per_dimension import unexplained_sums
from darkmatter.statistics.r2_estimates import of_targets, scored
from darkmatter.storage.packed_sums import gather, select

STORED = "controls_sums.npz"  # SOURCE/TARGET/SUM of every probe (`kept`); and the points of the power law
POWER_LAW = "power_law"


def listed(params: Params) -> list[Control]:
    options: Controls = params.controls
    return control_list(options.planted_shares, feature_r2(options.feature_probability))


def stored(sums: Mapping[str, Arrays], points: Arrays, params: Params) -> dict[str, np.ndarray]:
    """Content of STORED.

    Args:
        sums: source → sums over its targets, as the units of the stage leave them.
        points: as `facts.scaling_points`.
    """
    probes = {one.sums: kept(sums[one.source], TARGETS[one.target]) for one in listed(params)}
    return gather(probes | {POWER_LAW: points})


def kept(arrays: Arrays, targets: slice) -> dict[str, np.ndarray]:
    """What a control reads of the sums of one regression: `unexplained/SPLIT` of some of its targets, and facts.

    That is [2, context] of `per_dimension.unexplained_sums`, of the contexts that have held-out rows.
    """
    facts = {name: array for name, array in arrays.items() if name in ("rows", "leverage") or name.startswith("rank/")}
    sums = {name: array for name, array in arrays.items() if name == "rows" or name not in facts}
    columns = of_targets(sums, targets)
    return facts | {
        f"unexplained/{split}": unexplained_sums(*scored(columns, split, f"residual/{split}/paper")) for split in SPLITS
    }


def results_of(arrays: Arrays, params: Params) -> dict[str, Any]:
    """The results file from STORED."""
    controls = listed(params)
    sums = {one.sums: select(arrays, one.sums) for one in controls}
    rows = next(own["rows"] for own in sums.values())
    facts = {"hookpoint": params.figures.main_hookpoint, "sae": params.controls.sae}
    facts |= {"contexts": rows.shape[1], "positions": int(rows[-1].sum()) // rows.shape[1]}
    checked = check(controls, sums, params.decomposition.bootstrap.model_dump())
    return facts | checked | {"power_law_starts": scaling_starts(**select(arrays, POWER_LAW), params=params)}


def derive(sums: Mapping[str, Arrays], committed: dict[str, Any], params: Params) -> dict[str, Any]:
    """The results file again, from STORED (`Record.derive`)."""
    return results_of(sums[STORED], params)
