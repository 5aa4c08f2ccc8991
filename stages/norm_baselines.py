"""per-token tables + tokens + loss → what predicts the error norm beside the activation (appendix A.3, Fig. 13).

In:  data/decomposition/PROFILE/HOOKPOINT: moments/ (which rows), SAE/tokens.npz; data/tokens; data/activations/eval:
     HOOKPOINT, loss.npy; data/model/manifest.json (number of layers)
Out: reports/PROFILE/results/norm_baselines.json       SAE × regressor: R², and the activation's minus it; estimands
     reports/PROFILE/results/norm_baselines_sums.npz   the same as sums per context, which the numbers follow from

    python -m stages.norm_baselines
"""

import shutil

from darkmatter.decomposition.results import MOMENTS
from darkmatter.experiments.norm_baselines.compute import BASELINES, measure_baselines
from darkmatter.experiments.norm_baselines.results import STORED, measured, results_of, stored
from darkmatter.runner.stage import Stage, run
from darkmatter.runner.units import Unit, run_units
from darkmatter.storage.artifacts import read_arrays, read_json, write_arrays, write_json
from darkmatter.storage.paths import ACTIVATIONS, DATA, DECOMPOSITION, MODEL, TOKENS

WORK = DATA / ".work" / "norm_baselines"


def main(stage: Stage) -> None:
    params, decomposition = stage.params, stage.params.decomposition
    folder = stage.reads(DECOMPOSITION / params.profile)
    activations = stage.reads(ACTIVATIONS / "eval")
    depth = read_json(stage.reads(MODEL / "manifest.json"))["layers"]

    shared = {"loss": activations / "loss.npy", "tokens": stage.reads(TOKENS / "eval.npy")}
    shared |= {"first_position": params.tokens.first_position, "cutoff": decomposition.eigen_cutoff}
    shared |= decomposition.model_dump(include={"fit_share", "folds", "split_seed"})
    specs = measured(params)
    units = []
    for spec in specs:
        files = {"table": folder / spec.path / "tokens.npz", "moments": folder / spec.hookpoint / MOMENTS}
        units.append(Unit(spec.path, {**files, "activations": activations / spec.hookpoint, **shared}))
    stage.units = run_units(measure_baselines, units, WORK, stage.name)
    arrays = stored({spec.path: read_arrays(WORK / spec.path / BASELINES) for spec in specs}, depth)
    write_json(stage.writes(stage.reports.results / "norm_baselines.json"), results_of(arrays, params))
    write_arrays(stage.writes(stage.reports.results / STORED), arrays, compress=True)
    shutil.rmtree(WORK)


if __name__ == "__main__":
    run(main)
