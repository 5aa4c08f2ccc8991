"""activations + SAEs + their codes → the decomposition of every SAE's error, for one hookpoint.

In:  data/activations/eval/HOOKPOINT, data/codes/HOOKPOINT, data/saes/HOOKPOINT, data/model/manifest.json
Out: data/decomposition/PROFILE/HOOKPOINT/
         moments/activations.npz  what all SAEs share: regressions, sums of x; factors at the main hookpoint alone
         SAE/tokens.npz           per-token table, float32 [context, position]
         SAE/sums.npz             per-context sums: all estimates follow from them
     data/results/PROFILE/HOOKPOINT/
         results.json             estimates with intervals
         sums.npz                 those sums of all SAEs

    python -m stages.decomposition HOOKPOINT
"""

import shutil
import sys
from pathlib import Path

from darkmatter.decomposition.passes import decompose
from darkmatter.decomposition.results import MOMENTS, committed_sums, estimate_sae, hookpoint_results
from darkmatter.decomposition.shared_moments import prepare, without_factors
from darkmatter.models.activation_files import open_activations
from darkmatter.runner.stage import Stage, run
from darkmatter.runner.units import Unit, forget_units, run_units
from darkmatter.saes.open import read_specs
from darkmatter.storage.artifacts import read_arrays, read_json, write_arrays, write_json
from darkmatter.storage.paths import ACTIVATIONS, CODES, DECOMPOSITION, HOOKPOINT_RESULTS, MODEL, SAES
from darkmatter.storage.replacing import replacing_folder

WORK = Path("data/.work")


def main(stage: Stage) -> None:
    hookpoint = sys.argv[1]
    params = stage.params.decomposition
    activations = stage.reads(ACTIVATIONS / "eval" / hookpoint)
    codes, saes = stage.reads(CODES / hookpoint), stage.reads(SAES / hookpoint)
    label = read_json(stage.reads(MODEL / "manifest.json"))["label"]
    specs = read_specs(saes)
    splits = {"fit_share": params.fit_share, "folds": params.folds, "split_seed": params.split_seed}
    x = {"activations": activations, **splits, "device": stage.params.device}

    work = WORK / "decomposition" / hookpoint
    outliers = {"outlier_norm_ratio": params.outlier_norm_ratio}
    shared = Unit("moments", {**x, **outliers, "eigen_cutoff": params.eigen_cutoff})
    own_store = f"{stage.name}-moments"
    run_units(prepare, [shared], work / "prepared", own_store)
    moments = work / "prepared" / MOMENTS
    units, intervals = [], []
    for name in specs:
        files = {"codes": codes / name / "codes.npz", "sae": saes / name, "prepared": moments.parent}
        units.append(Unit(name, {**x, **files}))
        decomposed = work / "decomposed" / name
        files = {"moments": moments, "decomposed": decomposed}
        intervals.append(Unit(name, {**files, **params.bootstrap.model_dump()}))
    stage.units = run_units(decompose, units, work / "decomposed", stage.name)
    run_units(estimate_sae, intervals, work / "estimates", stage.name)

    folder = stage.writes(DECOMPOSITION / stage.params.profile / hookpoint)
    shutil.rmtree(folder, ignore_errors=True)
    folder.parent.mkdir(parents=True, exist_ok=True)
    (work / "decomposed").rename(folder)
    (work / "prepared" / "moments").rename(folder / "moments")
    if hookpoint != stage.params.figures.main_hookpoint:  # nobody asks for factors elsewhere: 35 GB of Gemma 2 9B
        write_arrays(folder / MOMENTS, without_factors(read_arrays(folder / MOMENTS)))
        forget_units(own_store)
    contexts, positions, d_model = open_activations(activations).shape
    first = stage.params.tokens.first_position
    rows = int(read_arrays(folder / MOMENTS)["kept"].sum())
    facts = {"hookpoint": hookpoint, "model": label, "rows": rows, "contexts": contexts}
    facts |= {"d_model": d_model, "positions": [first, first + positions - 1]}
    if params.outlier_norm_ratio is not None:
        facts |= outliers | {"dropped_rows": contexts * positions - rows}
    results = hookpoint_results(folder, work / "estimates", list(specs.values()), facts)
    with replacing_folder(stage.writes(HOOKPOINT_RESULTS / stage.params.profile / hookpoint)) as small:
        write_json(small / "results.json", results)
        write_arrays(small / "sums.npz", committed_sums(folder, list(specs)), compress=True)
    shutil.rmtree(work)


if __name__ == "__main__":
    run(main)
