"""decoders of the SAEs + activations → codes by gradient pursuit, decomposed as the SAE's own (section 6.1, Fig. 9a).

In:  data/activations/eval/HOOKPOINT, data/codes/HOOKPOINT, data/saes/HOOKPOINT of the main hookpoint
Out: reports/PROFILE/results/pursuit.json       each SAE of `pursuit.groups`: its own encoder and both variants of
         pursuit on the first `pursuit.contexts` contexts, and what pursuit changes
     reports/PROFILE/results/pursuit_sums.npz   per context, the sums that they follow from

    python -m stages.pursuit
"""

import shutil
from pathlib import Path

from darkmatter.decomposition.passes import decompose
from darkmatter.decomposition.results import MOMENTS
from darkmatter.decomposition.shared_moments import prepare
from darkmatter.experiments.pursuit.algorithm import VARIANTS
from darkmatter.experiments.pursuit.compute import (
    OWN,
    check_codes,
    join_codes,
    pursue_contexts,
    ranges,
    write_first_contexts,
)
from darkmatter.experiments.pursuit.estimates import CLAIMED
from darkmatter.experiments.pursuit.params import Pursuit
from darkmatter.experiments.pursuit.results import STORED, alike, results_of, stored
from darkmatter.models.activation_files import open_activations
from darkmatter.runner.stage import Stage, run
from darkmatter.runner.units import Unit, run_units
from darkmatter.saes.open import read_specs
from darkmatter.storage.artifacts import ArtifactError, write_arrays, write_json
from darkmatter.storage.paths import ACTIVATIONS, CODES, SAES

WORK = Path("data/.work/pursuit")


def main(stage: Stage) -> None:
    chosen: Pursuit = stage.params.pursuit
    hookpoint = stage.params.figures.main_hookpoint
    params = stage.params.decomposition
    activations = stage.reads(ACTIVATIONS / "eval" / hookpoint)
    codes, saes = stage.reads(CODES / hookpoint), stage.reads(SAES / hookpoint)
    specs = {name: spec for name, spec in read_specs(saes).items() if spec["group"] in chosen.groups}
    if not specs:
        raise ArtifactError(f"{saes} has no SAE of {', '.join(chosen.groups)}: pursuit.groups must name a group there")
    contexts, positions, _ = open_activations(activations).shape
    for name in specs:
        check_codes(codes / name, contexts * positions)
    x = WORK / "x.npy"
    write_first_contexts(x, activations, chosen.contexts)

    splits = {"fit_share": params.fit_share, "folds": params.folds, "split_seed": params.split_seed}
    device = {"device": stage.params.device}
    rows = {"activations": x, **splits, **device}
    outliers = {"outlier_norm_ratio": params.outlier_norm_ratio, "hookpoint": activations}
    shared = Unit("moments", {**rows, **outliers, "eigen_cutoff": params.eigen_cutoff})
    run_units(prepare, [shared], WORK / "prepared", stage.name)
    moments = WORK / "prepared" / MOMENTS

    pursued, joined, decomposed = [], [], []
    for name, spec in specs.items():
        sources = {"codes": codes / name, "sae": saes / name}
        parts = {f"{name}/{first:05}": (first, last) for first, last in ranges(chosen.contexts)}
        for part, (first, last) in parts.items():
            arguments = {"activations": x, "first": first, "last": last, **sources, **device}
            pursued.append(Unit(part, arguments, cost=(last - first) * spec["d_sae"]))
        arguments = {"parts": [WORK / "pursued" / part for part in parts], "codes": sources["codes"]}
        joined.append(Unit(name, arguments))
        for encoder in (OWN, *VARIANTS):
            files = {"codes": WORK / "joined" / name / encoder / "codes.npz", "sae": sources["sae"]}
            files |= {"prepared": moments.parent, "each_dimension": encoder in (OWN, CLAIMED)}
            decomposed.append(Unit(f"{name}/{encoder}", {**rows, **files}))
    stage.units = run_units(pursue_contexts, pursued, WORK / "pursued", stage.name)
    run_units(join_codes, joined, WORK / "joined", stage.name)
    stage.units += run_units(decompose, decomposed, WORK / "decomposed", stage.name)

    by_width = sorted(specs.values(), key=lambda spec: (spec["d_sae"], spec["k"] or 0, spec["seed"], spec["name"]))
    arrays = stored(moments, WORK / "decomposed", specs)
    write_arrays(stage.writes(stage.reports.results / STORED), arrays, compress=True)
    groups = alike(stage.params, specs)
    results = results_of(arrays, by_width, hookpoint, params.bootstrap.model_dump(), groups)
    write_json(stage.writes(stage.reports.results / "pursuit.json"), results)
    shutil.rmtree(WORK)


if __name__ == "__main__":
    run(main)
