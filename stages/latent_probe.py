"""codes of SAEs + their decoders → the probe of a reconstruction's norm against every latent (appendix C.2, Fig. 14).

In:  data/codes/HOOKPOINT/SAE, data/saes/HOOKPOINT/SAE, data/activations/eval/HOOKPOINT (which rows)
Out: reports/PROFILE/results/latent_probe.json       ratios, rank correlations over latents, R² of the probe, the curve
     reports/PROFILE/results/latent_probe_sums.npz   latent: firings, Σ w, Σ w², a*·y for each fit of a*

    python -m stages.latent_probe
"""

import shutil
from pathlib import Path

from darkmatter.experiments.latent_probe.compute import LATENTS, PROBE_RANK, PROBE_SUMS, probe_latents
from darkmatter.experiments.latent_probe.results import STORED, results_of, stored
from darkmatter.runner.stage import Stage, run
from darkmatter.runner.units import Unit, run_units
from darkmatter.storage.artifacts import read_arrays, write_arrays, write_json
from darkmatter.storage.paths import ACTIVATIONS, CODES, SAES

WORK = Path("data/.work")


def main(stage: Stage) -> None:
    params, chosen = stage.params, stage.params.latent_probe
    hookpoint = params.figures.main_hookpoint
    activations = stage.reads(ACTIVATIONS / "eval" / hookpoint)
    arguments = params.decomposition.model_dump(include={"fit_share", "folds", "split_seed", "outlier_norm_ratio"})
    arguments |= {"activations": activations, "cutoff": params.decomposition.eigen_cutoff}

    units = []
    for name in (chosen.sae, *chosen.further_saes):
        codes, sae = (stage.reads(folder / hookpoint / name) for folder in (CODES, SAES))
        units.append(Unit(name, {"codes": codes / "codes.npz", "sae": sae, **arguments}))
    work = WORK / stage.name
    stage.units = run_units(probe_latents, units, work, stage.name)
    latents, sums, rank = (read_arrays(work / chosen.sae / name) for name in (LATENTS, PROBE_SUMS, PROBE_RANK))
    further = {name: read_arrays(work / name / LATENTS) for name in chosen.further_saes}
    arrays = stored(latents, sums, {name: int(value) for name, value in rank.items()}, further)
    write_json(stage.writes(stage.reports.results / "latent_probe.json"), results_of(arrays, params))
    write_arrays(stage.writes(stage.reports.results / STORED), arrays, compress=True)
    shutil.rmtree(work)


if __name__ == "__main__":
    run(main)
