"""nothing but parameters → sums of random vectors, a share of them masked (appendix D)

Out: reports/PROFILE/results/random_features.json       variance explained against the share masked, its parabola
     reports/PROFILE/results/random_features_sums.npz   per seed, the sums of squares that all of these follow from

    python -m stages.random_features
"""

import shutil
from pathlib import Path

from darkmatter.experiments.random_features.compute import SUMS, masked_sums
from darkmatter.experiments.random_features.estimates import ORDERS
from darkmatter.experiments.random_features.results import STORED, results_of, stored
from darkmatter.runner.stage import Stage, run
from darkmatter.runner.units import Unit, run_units
from darkmatter.storage.artifacts import read_arrays, write_arrays, write_json

WORK = Path("data/.work/random_features")


def main(stage: Stage) -> None:
    params, decomposition = stage.params.random_features, stage.params.decomposition
    settings = params.model_dump(exclude={"seeds"})
    shared = settings | {"fit_share": decomposition.fit_share, "eigen_cutoff": decomposition.eigen_cutoff}
    units = {
        (order, seed): Unit(f"{order}/seed-{seed}", shared | {"order": order, "seed": seed})
        for order in ORDERS
        for seed in params.seeds
    }
    stage.units = run_units(masked_sums, list(units.values()), WORK, stage.name)

    arrays = stored(
        {order: [read_arrays(WORK / units[order, seed].name / SUMS) for seed in params.seeds] for order in ORDERS}
    )
    write_arrays(stage.writes(stage.reports.results / STORED), arrays, compress=True)
    write_json(stage.writes(stage.reports.results / "random_features.json"), results_of(arrays, stage.params))
    shutil.rmtree(WORK)


if __name__ == "__main__":
    run(main)
