"""per-token tables + tokens + loss → what predicts the error norm beside the activation (appendix A.3, Fig. 13).

In:  data/decomposition/PROFILE/HOOKPOINT: moments/, SAE/{tokens,sums}.npz; data/tokens; data/activations/eval/loss.npy;
     data/model/manifest.json (number of layers)
Out: reports/results/norm_baselines.json   SAE × regressor: R², and the activation's minus it; estimands

    python -m stages.norm_baselines
"""

from darkmatter.artifacts import open_array, read_arrays, read_json, write_json
from darkmatter.decomposition_results import MOMENTS, regressions
from darkmatter.experiments.norm_baseline_estimates import ACTIVATION, Measured, from_decomposition, results
from darkmatter.experiments.norm_baselines import baselines
from darkmatter.paths import ACTIVATIONS, DECOMPOSITION, MODEL, RESULTS, TOKENS
from darkmatter.processes import single_thread
from darkmatter.splits import draw_splits
from darkmatter.stage import Stage, run


def main(stage: Stage) -> None:
    single_thread()
    params, decomposition = stage.params, stage.params.decomposition
    group = params.norm_baselines.group
    specs = [spec for spec in params.sae_specs() if spec.group == group]
    folder = stage.reads(DECOMPOSITION / params.profile)
    loss = open_array(stage.reads(ACTIVATIONS / "eval" / "loss.npy"), (None, None))
    tokens = open_array(stage.reads(TOKENS / "eval.npy"), (len(loss), None), "int32")
    depth = read_json(stage.reads(MODEL / "manifest.json"))["layers"]

    first, bootstrap = params.tokens.first_position, decomposition.bootstrap.model_dump()
    splits = draw_splits(*loss.shape, decomposition.fit_share, decomposition.folds, decomposition.split_seed)
    ids = tokens[:, first : first + loss.shape[1]]
    saes = []
    for spec in specs:
        table, sums = (read_arrays(folder / spec.path / name) for name in ("tokens.npz", "sums.npz"))
        moments = read_arrays(folder / spec.hookpoint / MOMENTS)
        rank = {name: facts["rank"] for name, facts in regressions(moments).items()}
        found = baselines(table, ids, loss, splits, decomposition.eigen_cutoff)
        regressors = {ACTIVATION: from_decomposition(sums, moments["rows"], rank)} | found
        facts = spec.model_dump(include={"name", "hookpoint", "d_sae", "k", "seed"})
        saes.append(Measured(facts, int(spec.hookpoint.rsplit(".", 1)[1]), regressors))
    write_json(stage.writes(RESULTS / "norm_baselines.json"), {"group": group} | results(saes, depth, bootstrap))


if __name__ == "__main__":
    run(main)
