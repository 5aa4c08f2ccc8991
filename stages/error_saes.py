"""both parts of one SAE's error → SAEs trained on each of them, on the same budget and seeds (section 5.2).

In:  data/activations/{train,eval}/HOOKPOINT, data/saes/HOOKPOINT/SAE (whose error it is)
Out: data/error_saes/{linear,nonlinear}-sSEED/   sae-lens files, training.json; codes.npz and sums.npz of eval rows
     reports/PROFILE/results/error_saes.json             held-out FVU, its curve in training, intervals
     reports/PROFILE/results/error_saes_sums.npz         per-context sums that FVU can be derived from again

    python -m stages.error_saes
"""

import shutil
from pathlib import Path

from darkmatter.experiments.error_saes.compute import train_error_sae
from darkmatter.experiments.error_saes.error_parts import MAP, write_part
from darkmatter.experiments.error_saes.names import PARTS, SUMS, sae_name
from darkmatter.experiments.error_saes.results import STORED, results_of, stored
from darkmatter.runner.stage import Stage, run
from darkmatter.runner.units import Unit, forget_units, merge, run_units
from darkmatter.saes.open import read_facts
from darkmatter.storage.artifacts import read_arrays, read_json, write_arrays, write_json
from darkmatter.storage.paths import ACTIVATIONS, DATA, SAES

WORK = Path("data/.work/error_saes")
OUT = DATA / "error_saes"
PART_STORE = "error_saes_parts"
TRAINING = ("curve", "d_sae", "dropped_outliers", "k", "tokens", "train_fvu")  # of training.json


def main(stage: Stage) -> None:
    params, own = stage.params, stage.params.error_saes
    hookpoint = params.figures.main_hookpoint
    train, held_out = (stage.reads(ACTIVATIONS / side / hookpoint) for side in ("train", "eval"))
    sae = stage.reads(SAES / hookpoint / own.sae)
    spec = {key: read_facts(sae)[key] for key in ("architecture", "d_sae", "k")}

    sources = {"train": train, "held_out": held_out, "sae": sae}
    device = {"device": params.device}
    arguments = sources | spec | device | {"contexts": own.train_contexts, "cutoff": params.decomposition.eigen_cutoff}
    outliers = {"outlier_norm_ratio": params.decomposition.outlier_norm_ratio}
    budget = own.model_dump(include={"d_sae", "k", "train_tokens"}) | {"contexts": own.train_contexts}
    shared = budget | outliers | device | {"hookpoint": hookpoint, "training": params.saes.training.model_dump()}
    for part in PARTS:  # one after the other: a part takes as much room as the activations that it comes from
        split = Unit(part, arguments | outliers | {"part": part})
        run_units(write_part, [split], WORK / "parts", PART_STORE)
        rows = WORK / "parts" / part
        given = shared | {"parts": rows, "part": part}
        units = [Unit(sae_name(part, seed), given | {"seed": seed}) for seed in own.seeds]
        stage.units += run_units(train_error_sae, units, WORK / "trained" / part, stage.name)
        facts = read_arrays(rows / MAP)["facts"]
        shutil.rmtree(rows)
        forget_units(PART_STORE)  # made again in seconds or minutes; the trained SAEs stay
    merge([WORK / "trained" / part for part in PARTS], stage.writes(OUT))

    names = {(part, seed): sae_name(part, seed) for part in PARTS for seed in own.seeds}
    scores = {key: read_arrays(OUT / name / SUMS) for key, name in names.items()}
    arrays = stored(scores, facts)
    content = results_of(arrays, params)
    for sae in content["saes"]:
        training = read_json(OUT / names[sae["part"], sae["seed"]] / "training.json")
        sae |= {key: training[key] for key in TRAINING}
    write_json(stage.writes(stage.reports.results / "error_saes.json"), content)
    write_arrays(stage.writes(stage.reports.results / STORED), arrays, compress=True)
    shutil.rmtree(WORK)


if __name__ == "__main__":
    run(main)
