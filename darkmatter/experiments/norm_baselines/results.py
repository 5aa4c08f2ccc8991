"""The results file of appendix A.3 from sums per context, as they are stored."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from darkmatter.experiments.norm_baselines.estimates import TARGETS, Baseline, SaeBaselines, results
from darkmatter.experiments.norm_baselines.params import NormBaselines
from darkmatter.params.schema import Params
from darkmatter.regression.splits import ROW_SETS
from darkmatter.storage.packed_sums import gather, select

STORED = "norm_baselines_sums.npz"  # `HOOKPOINT/SAE/TARGET/REGRESSOR/…` of `stored`, `depth`


def stored(saes: Mapping[str, Mapping[str, Mapping[str, Baseline]]], depth: int) -> dict[str, np.ndarray]:
    """Content of STORED: the sums of each regressor and its rank by row set, or the one number that it is.

    Args:
        saes: HOOKPOINT/SAE → target → regressor → its sums.
    """

    def arrays(one: Baseline) -> dict[str, np.ndarray]:
        if one.constant is not None:
            return {"constant": np.array(one.constant)}
        return {**one.sums, "rank": np.array([one.rank[name] for name in ROW_SETS])}

    regressors = {
        f"{path}/{target}/{name}": arrays(one)
        for path, targets in saes.items()
        for target, own in targets.items()
        for name, one in own.items()
    }
    return gather(regressors) | {"depth": np.array(depth)}


def baselines_of(arrays: Mapping[str, np.ndarray], path: str) -> dict[str, Baseline]:
    """The regressors of one SAE and target from STORED.

    Args:
        path: HOOKPOINT/SAE/TARGET.

    Raises:
        ArtifactError: it holds none.
    """
    own = select(arrays, path)
    result = {}
    for name in sorted({key.split("/", 1)[0] for key in own}):
        sums = select(own, name)
        if "constant" in sums:
            result[name] = Baseline({}, {}, float(sums["constant"]))
        else:
            result[name] = Baseline(sums, dict(zip(ROW_SETS, sums.pop("rank").tolist(), strict=True)))
    return result


def results_of(arrays: Mapping[str, np.ndarray], params: Params) -> dict[str, Any]:
    """The results file from STORED."""
    options: NormBaselines = params.norm_baselines
    saes = []
    for spec in (spec for spec in params.sae_specs() if spec.group in options.groups):
        facts = spec.model_dump(include={"name", "hookpoint", "d_sae", "k", "seed"})
        layer = int(spec.hookpoint.rsplit(".", 1)[1])
        saes.append(SaeBaselines(facts, layer, {name: baselines_of(arrays, f"{spec.path}/{name}") for name in TARGETS}))
    bootstrap = params.decomposition.bootstrap.model_dump()
    return {"groups": options.groups} | results(saes, int(arrays["depth"]), bootstrap)


def derive(sums: Mapping[str, Mapping[str, np.ndarray]], committed: dict[str, Any], params: Params) -> dict[str, Any]:
    """The results file again, from STORED alone (`Record.derive`)."""
    return results_of(sums[STORED], params)
