"""activations + codes of one SAE + the FVU of all widths → does the method find what is known? (our controls)

In:  data/activations/eval/HOOKPOINT, data/codes/HOOKPOINT/SAE, data/saes/HOOKPOINT/SAE of the main hookpoint,
     reports/PROFILE/results/decomposition/HOOKPOINT.json
Out: reports/PROFILE/results/controls.json       control: what is known, what was found, whether it holds
     reports/PROFILE/results/controls_sums.npz   sums per context; the points of the power law

    python -m stages.controls
"""

import shutil

from darkmatter.experiments.controls.compute import CONTROLS, FEATURES, on_activations, on_features
from darkmatter.experiments.controls.facts import scaling_points
from darkmatter.experiments.controls.results import STORED, results_of, stored
from darkmatter.models.activation_files import open_activations
from darkmatter.runner.stage import Stage, run
from darkmatter.runner.units import Unit, run_units
from darkmatter.storage.artifacts import read_arrays, read_json, write_arrays, write_json
from darkmatter.storage.paths import ACTIVATIONS, CODES, DATA, SAES

WORK = DATA / ".work" / "controls"


def main(stage: Stage) -> None:
    params, chosen, decomposition = stage.params, stage.params.controls, stage.params.decomposition
    hookpoint = params.figures.main_hookpoint
    activations = stage.reads(ACTIVATIONS / "eval" / hookpoint)
    codes, sae = stage.reads(CODES / hookpoint / chosen.sae), stage.reads(SAES / hookpoint / chosen.sae)
    widths = read_json(stage.reads(stage.reports.decomposition / f"{hookpoint}.json"))
    positions = open_activations(activations).shape[1]

    common = decomposition.model_dump(include={"fit_share", "folds", "split_seed", "eigen_cutoff"})
    common |= {"contexts": chosen.contexts, "seed": chosen.seed}
    files = {"activations": activations, "codes": codes / "codes.npz", "sae": sae}
    files |= {"shares": chosen.planted_shares, "outlier_norm_ratio": decomposition.outlier_norm_ratio}
    units = [
        Unit(name, common | files | {"control": name}, cost=cost)
        for name, cost in (("planted", 3.0), *((name, 1.0) for name in CONTROLS))
    ]
    stage.units = run_units(on_activations, units, WORK / "activations", stage.name)
    drawn = {"features": chosen.features, "probability": chosen.feature_probability, "positions": positions}
    features = [Unit(name, common | drawn | {"weights": name}) for name in FEATURES]
    run_units(on_features, features, WORK / "features", stage.name)

    sums = {path.stem: read_arrays(path) for path in sorted(WORK.rglob("*.npz"))}
    arrays = stored(sums, scaling_points(widths, params), params)
    write_arrays(stage.writes(stage.reports.results / STORED), arrays, compress=True)
    write_json(stage.writes(stage.reports.results / "controls.json"), results_of(arrays, params))
    shutil.rmtree(WORK)


if __name__ == "__main__":
    run(main)
