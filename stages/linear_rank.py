"""activations + codes of SAEs → how many directions LinearError has, and what the strongest of them do (ours).

In:  data/activations/eval, data/codes, data/saes of the main hookpoint and of the layer sweep, data/model,
     data/tokens/eval.npy, data/decomposition/PROFILE/HOOKPOINT/moments of the main hookpoint
     reports/PROFILE/results/sums, reports/PROFILE/results/downstream_sums.npz
Out: reports/PROFILE/results/linear_rank.json       SAE × rank: share of LinearError, FVU, cross-entropy; angles
     reports/PROFILE/results/linear_rank_sums.npz   the same as sums per context

    python -m stages.linear_rank
"""

import shutil

from darkmatter.decomposition.shared_moments import prepare
from darkmatter.experiments.downstream.compute import SUMS as SPLICED_SUMS
from darkmatter.experiments.linear_rank.choices import measured, spliced
from darkmatter.experiments.linear_rank.compute import DIRECTIONS, SUMS, measure
from darkmatter.experiments.linear_rank.ranks import spliced_ranks
from darkmatter.experiments.linear_rank.results import DOWNSTREAM, STORED, results_of, shared_sums, stored
from darkmatter.experiments.linear_rank.splices import splice_ranks
from darkmatter.models.activation_files import open_activations
from darkmatter.models.extract import release_model
from darkmatter.models.splice import check_hookpoint
from darkmatter.runner.arithmetic import arithmetic_of
from darkmatter.runner.stage import Stage, run
from darkmatter.runner.units import Unit, forget_units, run_units
from darkmatter.storage.artifacts import read_arrays, read_json, write_arrays, write_json
from darkmatter.storage.paths import ACTIVATIONS, CODES, DATA, DECOMPOSITION, MODEL, SAES, TOKENS

WORK = DATA / ".work" / "linear_rank"


def main(stage: Stage) -> None:
    params, main_hookpoint = stage.params, stage.params.figures.main_hookpoint
    specs, names = measured(params), spliced(params)
    check_hookpoint(main_hookpoint, read_json(stage.reads(MODEL) / "manifest.json")["layers"])
    stage.arithmetic = arithmetic_of(MODEL / "manifest.json")
    tokens, moments = stage.reads(TOKENS / "eval.npy"), DECOMPOSITION / params.profile / main_hookpoint / "moments"
    hookpoints = list(dict.fromkeys(spec.hookpoint for spec in specs))
    activations = {name: stage.reads(ACTIVATIONS / "eval" / name) for name in hookpoints}
    prepared = {name: WORK / "moments" / name for name in hookpoints} | {main_hookpoint: stage.reads(moments)}
    stage.reads(stage.reports.sums)
    downstream = read_arrays(stage.reads(stage.reports.results / DOWNSTREAM))

    split = params.decomposition.model_dump(include={"fit_share", "folds", "split_seed"}) | {"device": params.device}
    fit = {name: params.decomposition.model_dump()[name] for name in ("eigen_cutoff", "outlier_norm_ratio")}
    elsewhere = [name for name in hookpoints if name != main_hookpoint]
    shared = [Unit(name, {**split, **fit, "activations": activations[name]}) for name in elsewhere]
    run_units(prepare, shared, WORK / "moments", f"{stage.name}-moments")
    files = {
        spec.path: {"codes": stage.reads(CODES / spec.path) / "codes.npz", "sae": stage.reads(SAES / spec.path)}
        for spec in specs
    }
    units = []
    for spec in specs:
        x = {"activations": activations[spec.hookpoint], "prepared": prepared[spec.hookpoint], **files[spec.path]}
        is_spliced = spec.hookpoint == main_hookpoint and spec.name in names
        units.append(Unit(spec.path, {**x, **split, "spliced": is_spliced}, cost=1 + (spec.k or 0) / 64))
    measures = run_units(measure, units, WORK / "saes", stage.name)

    ranks = spliced_ranks(open_activations(activations[main_hookpoint]).shape[-1])
    passes = {"model": MODEL, "tokens": tokens, "hookpoint": main_hookpoint, "ranks": ranks}
    passes |= {"first_position": params.tokens.first_position, "activations": activations[main_hookpoint]}
    passes |= {"prepared": prepared[main_hookpoint], **split}
    paths = {name: f"{main_hookpoint}/{name}" for name in names}
    passes["saes"] = [
        {"name": name, **files[path], "directions": WORK / "saes" / path / DIRECTIONS} for name, path in paths.items()
    ]
    contexts = [Unit(f"{context:06d}", {**passes, "context": context}) for context in downstream["contexts"].tolist()]
    stage.units = measures + run_units(splice_ranks, contexts, WORK / "contexts", f"{stage.name}-splices")
    release_model()

    saes = {spec.path: read_arrays(WORK / "saes" / spec.path / SUMS) for spec in specs}
    splices = [read_arrays(WORK / "contexts" / unit.name / SPLICED_SUMS) for unit in contexts]
    arrays = stored(saes, splices)
    write_arrays(stage.writes(stage.reports.results / STORED), arrays, compress=True)
    write_json(
        stage.writes(stage.reports.results / "linear_rank.json"),
        results_of(arrays, shared_sums(params), downstream, params),
    )
    forget_units(f"{stage.name}-moments", keep_hashes=True)  # factors of the layers, which nobody else asks for
    shutil.rmtree(WORK)


if __name__ == "__main__":
    run(main)
