"""one SAE and its codes → does the decomposition find noise that was planted? (appendices B.2, C.3; Fig. 15, Table 1)

In:  data/activations/eval/HOOKPOINT.npy, data/codes/HOOKPOINT/SAE, data/saes/HOOKPOINT/SAE
Out: reports/results/synthetic_noise.json       estimands, every cell of the grid, all conventions
     reports/results/synthetic_noise_sums.npz   per seed, the sums of squares that all of these follow from

    python -m stages.synthetic_noise
"""

import shutil
from pathlib import Path

from darkmatter.activation_files import open_activations
from darkmatter.artifacts import read_arrays, read_json, write_arrays, write_json
from darkmatter.experiments.synthetic_noise import FACTS, SUMS, noise_sums, prepare_ground_truth
from darkmatter.experiments.synthetic_noise_results import STORED, results_of, stored
from darkmatter.paths import ACTIVATIONS, CODES, RESULTS, SAES
from darkmatter.stage import Stage, run
from darkmatter.units import Unit, run_units

WORK = Path("data/.work/synthetic_noise")


def main(stage: Stage) -> None:
    params, decomposition = stage.params.synthetic_noise, stage.params.decomposition
    spec = stage.params.sae_spec(f"{stage.params.figures.main_hookpoint}/{params.sae}")
    activations = stage.reads(ACTIVATIONS / "eval" / f"{spec.hookpoint}.npy")
    codes, sae = stage.reads(CODES / spec.path), stage.reads(SAES / spec.path)
    _, positions, _ = open_activations(activations).shape
    shared = {"codes": f"{codes}/codes.npz", "sae": sae.as_posix(), "ablated_shares": params.ablated_shares}
    shared |= {"fit_share": decomposition.fit_share, "split_seed": decomposition.split_seed}
    own = {"activations": activations.as_posix(), "contexts": params.contexts}
    own |= spec.model_dump(include={"architecture", "d_sae", "k"})
    own |= {"outlier_norm_ratio": decomposition.outlier_norm_ratio}
    run_units(
        prepare_ground_truth,
        [Unit("truth", shared | own, (activations, codes, sae))],
        WORK / "prepared",
        stage.name,
    )
    prepared = WORK / "prepared" / "truth"
    shared |= {"prepared": prepared.as_posix(), "positions": positions, "eigen_cutoff": decomposition.eigen_cutoff}
    shared |= {"noise_deviations": params.noise_deviations}
    units = [Unit(f"seed-{seed}", shared | {"seed": seed}, (codes, sae, prepared)) for seed in params.seeds]
    stage.ledger = run_units(noise_sums, units, WORK / "sums", stage.name)

    by_seed = [read_arrays(WORK / "sums" / unit.name / SUMS) for unit in units]
    arrays = stored(by_seed, read_json(prepared / FACTS), positions)
    write_json(stage.writes(RESULTS / "synthetic_noise.json"), results_of(arrays, stage.params))
    write_arrays(stage.writes(STORED), arrays, compress=True)
    shutil.rmtree(WORK)


if __name__ == "__main__":
    run(main)
