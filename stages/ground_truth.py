"""nothing but parameters → SAEs of synthetic activations, and their errors in parts that are known (ours)

Out: reports/PROFILE/results/ground_truth.json       SAE: absent features, Dense, Introduced; what LinearError and
                                                     NonlinearError have of each; what pursuit recovers
     reports/PROFILE/results/ground_truth_sums.npz   the sums of products per context that all of these follow from

    python -m stages.ground_truth
"""

import shutil
from pathlib import Path

import numpy as np

from darkmatter.experiments.ground_truth.compute import measure
from darkmatter.experiments.ground_truth.names import STORED
from darkmatter.experiments.ground_truth.results import results_of, stored
from darkmatter.experiments.ground_truth.train import train_synthetic
from darkmatter.experiments.ground_truth.world import draw_world
from darkmatter.runner.stage import Stage, run
from darkmatter.runner.units import Unit, forget_units, run_units
from darkmatter.storage.artifacts import write_arrays, write_json
from darkmatter.storage.paths import DATA

WORK = DATA / ".work" / "ground_truth"
SLOWEST = "matching_pursuit"  # its steps take some three times as long


def main(stage: Stage) -> None:
    arrays = sums_of(stage, WORK) if stage.params.ground_truth.saes else {}
    write_arrays(stage.writes(stage.reports.results / STORED), arrays, compress=True)
    write_json(stage.writes(stage.reports.results / "ground_truth.json"), results_of(arrays, stage.params))
    forget_units(f"{stage.name}-world")  # drawn again in seconds
    shutil.rmtree(WORK, ignore_errors=True)


def sums_of(stage: Stage, work: Path) -> dict[str, np.ndarray]:
    """Rows, SAEs, and the sums that are stored."""
    params, own = stage.params, stage.params.ground_truth
    drawn = own.model_dump(include={"world", "train_rows", "contexts", "context_rows"})
    run_units(draw_world, [Unit("world", drawn)], work / "drawn", f"{stage.name}-world")
    world = work / "drawn" / "world"

    training = params.saes.training.model_dump() | {"batch_size": own.batch_size}
    shared = {"world": world, "train_tokens": own.train_tokens, "training": training}
    units = [
        Unit(
            sae.name,
            shared | sae.model_dump(include={"architecture", "d_sae", "k", "seed"}),
            cost=(200 + sae.d_sae) * (3 if sae.architecture == SLOWEST else 1),
        )
        for sae in own.saes
    ]
    stage.units = run_units(train_synthetic, units, work / "trained", stage.name)

    split = params.decomposition.model_dump(include={"fit_share", "split_seed", "eigen_cutoff"})
    split |= {"world": world, "cosines": own.cosines}
    units = [Unit(sae.name, {**split, "trained": work / "trained" / sae.name}) for sae in own.saes]
    stage.units += run_units(measure, units, work / "measured", f"{stage.name}-measured")
    return stored(work / "measured", params)


if __name__ == "__main__":
    run(main)
