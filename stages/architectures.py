"""activations → SAEs of every training class of sae-lens, and TopK with a linear skip → numbers at one L0 (ours).

In:  data/activations/{train,eval} of the main hookpoint, data/model
Out: reports/PROFILE/results/architectures.json       SAE, and variant × size at one L0: FVU, its parts, R²
     reports/PROFILE/results/architectures_sums.npz   the same as sums per context

    python -m stages.architectures
"""

import shutil

import numpy as np

from darkmatter.decomposition.results import MOMENTS
from darkmatter.experiments.architectures.compute import measure, prepare_contexts
from darkmatter.experiments.architectures.names import STORED, ComparedSae, trained
from darkmatter.experiments.architectures.results import results_of, stored
from darkmatter.experiments.architectures.train import train_architecture
from darkmatter.runner.arithmetic import arithmetic_of, check_mark
from darkmatter.runner.stage import Stage, run
from darkmatter.runner.units import Unit, forget_units, run_units
from darkmatter.storage.artifacts import write_arrays, write_json
from darkmatter.storage.paths import ACTIVATIONS, DATA, MODEL

WORK = DATA / ".work" / "architectures"


def main(stage: Stage) -> None:
    params = stage.params
    stage.arithmetic = arithmetic_of(stage.reads(MODEL) / "manifest.json")
    check_mark(ACTIVATIONS / "train", stage.arithmetic, "dvc repro activations")
    for side in ("train", "eval"):
        stage.reads(ACTIVATIONS / side / params.figures.main_hookpoint)
    saes = trained(params.architectures) if params.architectures.classes else []
    arrays: dict[str, np.ndarray] = {}
    if saes:
        train_all(stage, saes)
        arrays = measure_all(stage, saes)
    write_arrays(stage.writes(stage.reports.results / STORED), arrays, compress=True)
    write_json(stage.writes(stage.reports.results / "architectures.json"), results_of(arrays, params))
    shutil.rmtree(WORK, ignore_errors=True)


def train_all(stage: Stage, saes: list[ComparedSae]) -> None:
    """Every SAE, below WORK/saes."""
    params = stage.params
    hookpoint = params.figures.main_hookpoint
    shared = {"activations": ACTIVATIONS / "train" / hookpoint, "hookpoint": hookpoint}
    shared |= {"contexts": params.architectures.train_contexts, "training": params.saes.training.model_dump()}
    units = []
    for sae in saes:
        own = {name: getattr(sae, name) for name in ("architecture", "rank", "d_sae", "k", "seed", "train_tokens")}
        units.append(Unit(sae.name, {**shared, **own}, (), sae.train_tokens * sae.d_sae, stage.arithmetic))
    stage.units += run_units(train_architecture, units, WORK / "saes", stage.name)


def measure_all(stage: Stage, saes: list[ComparedSae]) -> dict[str, np.ndarray]:
    """The sums that are stored."""
    params, decomposition = stage.params, stage.params.decomposition
    rows = {"activations": ACTIVATIONS / "eval" / params.figures.main_hookpoint}
    rows |= {"contexts": params.architectures.contexts}
    rows |= decomposition.model_dump(include={"fit_share", "folds", "split_seed"})
    cutoffs = decomposition.model_dump(include={"eigen_cutoff", "outlier_norm_ratio"})
    run_units(prepare_contexts, [Unit("moments", rows | cutoffs)], WORK / "prepared", f"{stage.name}-moments")
    units = [
        Unit(
            sae.name,
            {**rows, "prepared": WORK / "prepared" / "moments", "sae": WORK / "saes" / sae.name},
            (),
            sae.d_sae,
        )
        for sae in saes
    ]
    stage.units += run_units(measure, units, WORK / "measured", f"{stage.name}-measured")
    forget_units(f"{stage.name}-moments")
    return stored(WORK / "prepared" / MOMENTS, {sae.name: WORK / "measured" / sae.name for sae in saes})


if __name__ == "__main__":
    run(main)
