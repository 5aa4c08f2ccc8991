"""model + SAEs + activations → cross-entropy with reconstructions and parts of the error spliced in (section 5.3).

In:  data/model, data/tokens/eval.npy, data/activations/eval/HOOKPOINT, data/codes/HOOKPOINT, data/saes/HOOKPOINT,
     data/decomposition/PROFILE/HOOKPOINT/moments, of figures.main_hookpoint
Out: reports/PROFILE/results/downstream.json       SAE × splice: cross-entropy (nats), percent recovered and expected
     reports/PROFILE/results/downstream_sums.npz   the same as sums per context, which the numbers follow from

    python -m stages.downstream
"""

import shutil
from pathlib import Path

from darkmatter.experiments.downstream.compute import MAP, SPLIT, SUMS, fit_map, splice_context
from darkmatter.experiments.downstream.estimates import held_out_contexts, join_contexts
from darkmatter.experiments.downstream.results import STORED, results_of, stored
from darkmatter.models.activation_files import open_activations
from darkmatter.models.extract import release_model
from darkmatter.models.splice import check_hookpoint
from darkmatter.regression.splits import draw_splits
from darkmatter.runner.arithmetic import arithmetic_of
from darkmatter.runner.stage import Stage, run
from darkmatter.runner.units import Unit, run_units
from darkmatter.saes.open import read_specs
from darkmatter.storage.artifacts import read_arrays, read_json, write_arrays, write_json
from darkmatter.storage.paths import ACTIVATIONS, CODES, DECOMPOSITION, MODEL, SAES, TOKENS

WORK = Path("data/.work/downstream")


def main(stage: Stage) -> None:
    params, options = stage.params, stage.params.downstream
    hookpoint = params.figures.main_hookpoint
    manifest = read_json(stage.reads(MODEL) / "manifest.json")
    stage.arithmetic = arithmetic_of(MODEL / "manifest.json")
    check_hookpoint(hookpoint, manifest["layers"])
    tokens = stage.reads(TOKENS / "eval.npy")
    activations = stage.reads(ACTIVATIONS / "eval" / hookpoint)
    codes, saes = stage.reads(CODES / hookpoint), stage.reads(SAES / hookpoint)
    moments = stage.reads(DECOMPOSITION / params.profile / hookpoint) / "moments"
    split = params.decomposition.model_dump(include={"fit_share", "folds", "split_seed"})
    shape = open_activations(activations).shape
    contexts = held_out_contexts(draw_splits(*shape[:2], *split.values()), options.contexts)

    x = {"activations": activations, "prepared": moments, **split, "device": params.device}
    files = {
        name: {
            "codes": codes / name / "codes.npz",
            "sae": saes / name,
            "map": WORK / "maps" / name / MAP,
        }
        for name in options.saes
    }
    maps = [Unit(name, {**x, "codes": paths["codes"], "sae": paths["sae"]}) for name, paths in files.items()]
    run_units(fit_map, maps, WORK / "maps", stage.name)
    passes = {**x, "model": MODEL, "tokens": tokens, "hookpoint": hookpoint}
    passes |= {"first_position": params.tokens.first_position, "controls": options.controls, "seed": options.seed}
    passes["saes"] = [{"name": name, **paths} for name, paths in files.items()]
    units = [Unit(f"{context:06d}", {**passes, "context": context}) for context in contexts]
    stage.units = run_units(splice_context, units, WORK / "contexts", stage.name)
    release_model()

    sums = join_contexts([WORK / "contexts" / unit.name / SUMS for unit in units])
    specs = read_specs(saes)
    rank = {name: int(read_arrays(paths["map"])["rank"]) for name, paths in files.items()}
    arrays = stored(sums, contexts, shape[1], rank)
    content = results_of(arrays, [specs[name] for name in files], params)
    content |= {"model": manifest["label"], "split": SPLIT}
    write_json(stage.writes(stage.reports.results / "downstream.json"), content)
    write_arrays(stage.writes(stage.reports.results / STORED), arrays, compress=True)
    stage.notes["largest relative distance from the stored residual"] = float(sums["residual_gap"].max())
    shutil.rmtree(WORK)


if __name__ == "__main__":
    run(main)
