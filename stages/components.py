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
from darkmatter.experiments.components.estimates import SELF
from darkmatter.experiments.components.results import STORED, results_of, stored
from darkmatter.runner.stage import Stage, run
from darkmatter.runner.units import Unit, run_units
from darkmatter.storage.artifacts import read_arrays, write_arrays, write_json
from darkmatter.storage.paths import ACTIVATIONS, CODES, DECOMPOSITION, MODEL, SAES

WORK = Path("data/.work")


def main(stage: Stage) -> None:
    params = stage.params
    hookpoint, chosen = params.figures.main_hookpoint, params.components
    parents, saes = chosen.parents, [f"{hookpoint}/{name}" for name in (chosen.sae, *chosen.further_saes)]
    check_parents(hookpoint, parents)
    activations = {path: stage.reads(ACTIVATIONS / "eval" / path.split("/")[0]) for path in (saes[0], *parents)}
    codes = {
        path: {"codes": stage.reads(CODES / path) / "codes.npz", "sae": stage.reads(SAES / path)}
        for path in (*saes, *parents)
    }
    moments = stage.reads(DECOMPOSITION / params.profile / hookpoint / MOMENTS)
    of_z = [path for path in parents if path.startswith("attn_z.")]
    attention = {"model": stage.reads(MODEL), "hookpoint": of_z[0].split("/")[0]} if of_z else None
    through = load_attention_output(str(attention["model"]), attention["hookpoint"]) if attention else None
    check_sum(activations[saes[0]], [activations[path] for path in parents], through)

    splits = params.decomposition.model_dump(include={"fit_share", "folds", "split_seed"})
    rows = {"activations": activations[saes[0]], "prepared": moments.parent, **splits, "device": params.device}
    samples = {path: rows | codes[path] for path in saes}
    work = WORK / stage.name
    targets = [Unit(f"{path}/targets", sample) for path, sample in samples.items()]
    stage.units = run_units(write_targets, targets, work / "shared", stage.name)

    if attention:
        codes[of_z[0]]["attention"] = attention
    units, regressors = [], {path: {**{name: [name] for name in parents}, SELF: [path]} for path in saes}
    regressors[saes[0]]["all-parents"] = parents
    for path, names in regressors.items():
        common = {
            **samples[path],
            "targets": work / "shared" / path / "targets",
            "cutoff": params.decomposition.eigen_cutoff,
        }
        for name, of in names.items():
            arguments = {**common, "regressors": [codes[source] for source in of]}
            units.append(Unit(f"{path}/{name}", arguments, cost=len(of) ** 2))
    stage.units += run_units(explain, units, work / "regressions", stage.name)

    left = {
        path: {name: read_arrays(work / "regressions" / path / name / SUMS) for name in names}
        for path, names in regressors.items()
    }
    both = [(left[path], read_arrays(work / "shared" / path / "targets" / TARGET_SUMS)) for path in saes]
    arrays = stored(*both[0], further=dict(zip(chosen.further_saes, both[1:], strict=True)))
    write_arrays(stage.writes(stage.reports.results / STORED), arrays, compress=True)
    write_json(stage.writes(stage.reports.results / "components.json"), results_of(arrays, params))
    shutil.rmtree(work)


if __name__ == "__main__":
    run(main)
