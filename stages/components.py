"""activations + codes of an SAE and of the SAEs of its parents → what of its error they explain (section 6.2, Eq. 16).

In:  data/activations/eval, data/codes, data/saes, data/decomposition/PROFILE/HOOKPOINT/moments
     data/model   output projection and norm of a parent at attn_z
Out: reports/PROFILE/results/components.json       regressor × target: held-out R²
     reports/PROFILE/results/components_sums.npz   sums per context, from which R² can be derived again

    python -m stages.components
"""

import shutil
from pathlib import Path

from darkmatter.decomposition.results import MOMENTS
from darkmatter.experiments.components.attention_output import load_attention_output
from darkmatter.experiments.components.compute import (
    SUMS,
    TARGET_SUMS,
    check_parents,
    check_sum,
    explain,
    write_targets,
)
from darkmatter.experiments.components.results import STORED, results_of, stored
from darkmatter.runner.stage import Stage, run
from darkmatter.runner.units import Unit, run_units
from darkmatter.storage.artifacts import read_arrays, write_arrays, write_json
from darkmatter.storage.paths import ACTIVATIONS, CODES, DECOMPOSITION, MODEL, SAES

WORK = Path("data/.work")


def main(stage: Stage) -> None:
    params = stage.params
    hookpoint, parents = params.figures.main_hookpoint, params.components.parents
    main_sae = f"{hookpoint}/{params.components.sae}"
    check_parents(hookpoint, parents)
    files = {path: stage.reads(ACTIVATIONS / "eval" / path.split("/")[0]) for path in (main_sae, *parents)}
    sources = {path: (stage.reads(CODES / path), stage.reads(SAES / path)) for path in (main_sae, *parents)}
    moments = stage.reads(DECOMPOSITION / params.profile / hookpoint / MOMENTS)
    of_z = [path for path in parents if path.startswith("attn_z.")]
    attention = {"model": stage.reads(MODEL), "hookpoint": of_z[0].split("/")[0]} if of_z else None
    through = load_attention_output(str(attention["model"]), attention["hookpoint"]) if attention else None
    check_sum(files[main_sae], [files[path] for path in parents], through)

    splits = params.decomposition.model_dump(include={"fit_share", "folds", "split_seed"})
    splits["device"] = params.device
    codes = {path: {"codes": folder / "codes.npz", "sae": sae} for path, (folder, sae) in sources.items()}
    sample = {"activations": files[main_sae], "prepared": moments.parent, **codes[main_sae]}
    work = WORK / stage.name
    run_units(write_targets, [Unit("targets", sample | splits)], work / "shared", stage.name)

    targets = work / "shared" / "targets"
    common = {**sample, **splits, "targets": targets, "cutoff": params.decomposition.eigen_cutoff}
    if attention:
        codes[of_z[0]]["attention"] = attention
    regressors = {**{path: [path] for path in parents}, "all-parents": parents, "self": [main_sae]}
    units = [
        Unit(
            name,
            {**common, "regressors": [codes[path] for path in paths]},
            cost=len(paths) ** 2,
        )
        for name, paths in regressors.items()
    ]
    stage.units = run_units(explain, units, work / "regressions", stage.name)
    result = {name: read_arrays(work / "regressions" / name / SUMS) for name in regressors}
    arrays = stored(result, read_arrays(targets / TARGET_SUMS))
    write_arrays(stage.writes(stage.reports.results / STORED), arrays, compress=True)
    write_json(stage.writes(stage.reports.results / "components.json"), results_of(arrays, params))
    shutil.rmtree(work)


if __name__ == "__main__":
    run(main)
