"""The results file of appendix A.3 from sums per context, as they are stored."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from darkmatter.experiments.norm_baselines.estimates import TARGETS, Baseline, SaeBaselines, results
from darkmatter.experiments.norm_baselines.params import NormBaselines
from darkmatter.params.saes import SaeSpec
from darkmatter.params.schema import Params
from darkmatter.regression.splits import ROW_SETS
from darkmatter.statistics.seed_noise import seed_groups
from darkmatter.storage.packed_sums import gather, select

STORED = "norm_baselines_sums.npz"  # `HOOKPOINT/SAE/TARGET/REGRESSOR/…` of `stored`, `depth`


def packed(targets: Mapping[str, Mapping[str, Baseline]]) -> dict[str, np.ndarray]:
    """Of one SAE the sums of each regressor and its rank by row set, or the one number that it is.

    Args:
        targets: target → regressor → its sums.
    """

    def arrays(one: Baseline) -> dict[str, np.ndarray]:
        if one.constant is not None:
            return {"constant": np.array(one.constant)}
        return {**one.sums, "rank": np.array([one.rank[name] for name in ROW_SETS])}

    return gather({f"{target}/{name}": arrays(one) for target, own in targets.items() for name, one in own.items()})


def stored(saes: Mapping[str, Mapping[str, np.ndarray]], depth: int) -> dict[str, np.ndarray]:
    """Content of STORED.

    Args:
        saes: HOOKPOINT/SAE → `packed` of it.
        depth: layers of the model.
    """
    return gather(saes) | {"depth": np.array(depth)}


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


def judged(params: Params) -> list[SaeSpec]:
    """The SAEs of the groups that are asked for."""
    options: NormBaselines = params.norm_baselines
    return [spec for spec in params.sae_specs() if spec.group in options.groups]


def alike(params: Params) -> list[list[SaeSpec]]:
    """SAEs of the residual stream that differ in their training seed alone."""
    hookpoints = [name for name in params.hookpoints if name.startswith("resid_post.")]
    return [group for name in hookpoints for group in seed_groups(params.sae_specs(name), getattr)]


def measured(params: Params) -> list[SaeSpec]:
    """All whose baselines are stored, each once."""
    specs = [*judged(params), *(spec for group in alike(params) for spec in group)]
    return list({spec.path: spec for spec in specs}.values())


def results_of(arrays: Mapping[str, np.ndarray], params: Params) -> dict[str, Any]:
    """The results file from STORED."""

    def baselines(spec: SaeSpec) -> SaeBaselines:
        facts = spec.model_dump(include={"name", "hookpoint", "d_sae", "k", "seed"})
        targets = {name: baselines_of(arrays, f"{spec.path}/{name}") for name in TARGETS}
        return SaeBaselines(facts, int(spec.hookpoint.rsplit(".", 1)[1]), targets)

    saes = [baselines(spec) for spec in judged(params)]
    groups = [[baselines(spec) for spec in group] for group in alike(params)]
    bootstrap = params.decomposition.bootstrap.model_dump()
    return {"groups": params.norm_baselines.groups} | results(saes, int(arrays["depth"]), bootstrap, groups)


def derive(sums: Mapping[str, Mapping[str, np.ndarray]], committed: dict[str, Any], params: Params) -> dict[str, Any]:
    """The results file again, from STORED alone (`Record.derive`)."""
    return results_of(sums[STORED], params)
