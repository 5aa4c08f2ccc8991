"""SAEs and their codes → does the decomposition find noise that was planted? (appendices B.2, C.3; Fig. 15, Table 1)

In:  data/activations/eval/HOOKPOINT, data/codes/HOOKPOINT, data/saes/HOOKPOINT
Out: reports/PROFILE/results/synthetic_noise.json       estimands, every cell of the grid, every SAE's flatness
     reports/PROFILE/results/synthetic_noise_sums.npz   per SAE and seed, the sums of squares that these follow from

    python -m stages.synthetic_noise
"""

import shutil
from pathlib import Path

from darkmatter.experiments.synthetic_noise.cells import VARIANTS
from darkmatter.experiments.synthetic_noise.compute import FACTS, SUMS, noise_grid
from darkmatter.experiments.synthetic_noise.results import FURTHER_VARIANTS, STORED, results_of, saes_of, stored
from darkmatter.runner.stage import Stage, run
from darkmatter.runner.units import Unit, run_units
from darkmatter.storage.artifacts import read_arrays, read_json, write_arrays, write_json
from darkmatter.storage.paths import ACTIVATIONS, CODES, SAES

WORK = Path("data/.work/synthetic_noise")


def main(stage: Stage) -> None:
    params, decomposition = stage.params.synthetic_noise, stage.params.decomposition
    hookpoint = stage.params.figures.main_hookpoint
    activations = stage.reads(ACTIVATIONS / "eval" / hookpoint)
    all_codes, all_saes = stage.reads(CODES / hookpoint), stage.reads(SAES / hookpoint)
    shared = {"activations": activations, "contexts": params.contexts_per_seed}
    shared |= {"noise_deviations": params.noise_deviations}
    shared |= decomposition.model_dump(include={"fit_share", "split_seed", "eigen_cutoff", "outlier_norm_ratio"})
    units = []
    for spec in saes_of(stage.params):
        own = {"codes": all_codes / spec.name / "codes.npz", "sae": all_saes / spec.name}
        own |= spec.model_dump(include={"architecture", "d_sae", "k"})
        if spec.name == params.sae:
            own |= {"ablated_shares": params.ablated_shares, "variants": list(VARIANTS)}
        else:  # flatness needs the ends alone, and a third of the regressions
            ends = [params.ablated_shares[0], params.ablated_shares[-1]]
            own |= {"ablated_shares": ends, "variants": list(FURTHER_VARIANTS)}
        for number, seed in enumerate(params.seeds):
            draw = {"seed": seed, "first": number * params.contexts_per_seed}
            units.append(Unit(f"{spec.name}-seed-{seed}", shared | own | draw))
    stage.units = run_units(noise_grid, units, WORK, stage.name)

    results = [(read_arrays(WORK / unit.name / SUMS), read_json(WORK / unit.name / FACTS)) for unit in units]
    count = len(params.seeds)
    by_sae = {
        spec.name: results[number * count : (number + 1) * count] for number, spec in enumerate(saes_of(stage.params))
    }
    arrays = stored(by_sae)
    write_json(stage.writes(stage.reports.results / "synthetic_noise.json"), results_of(arrays, stage.params))
    write_arrays(stage.writes(stage.reports.results / STORED), arrays, compress=True)
    shutil.rmtree(WORK)


if __name__ == "__main__":
    run(main)
