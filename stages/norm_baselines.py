"""per-token tables + tokens + loss → what predicts the error norm beside the activation (appendix A.3, Fig. 13).

In:  data/decomposition/PROFILE/HOOKPOINT: moments/ (which rows), SAE/tokens.npz; data/tokens; data/activations/eval:
     HOOKPOINT, loss.npy; data/model/manifest.json (number of layers)
Out: reports/PROFILE/results/norm_baselines.json       SAE × regressor: R², and the activation's minus it; estimands
     reports/PROFILE/results/norm_baselines_sums.npz   the same as sums per context, which the numbers follow from

    python -m stages.norm_baselines
"""

from darkmatter.decomposition.results import MOMENTS
from darkmatter.experiments.norm_baselines.compute import baselines, check_rows
from darkmatter.experiments.norm_baselines.results import STORED, measured, results_of, stored
from darkmatter.models.activation_files import open_activations
from darkmatter.regression.splits import draw_splits
from darkmatter.runner.processes import single_thread
from darkmatter.runner.stage import Stage, run
from darkmatter.storage.artifacts import open_array, read_arrays, read_json, write_arrays, write_json
from darkmatter.storage.paths import ACTIVATIONS, DECOMPOSITION, MODEL, TOKENS


def main(stage: Stage) -> None:
    single_thread()
    params, decomposition = stage.params, stage.params.decomposition
    folder = stage.reads(DECOMPOSITION / params.profile)
    activations = stage.reads(ACTIVATIONS / "eval")
    loss = open_array(activations / "loss.npy", (None, None))
    tokens = open_array(stage.reads(TOKENS / "eval.npy"), (len(loss), None), "int32")
    depth = read_json(stage.reads(MODEL / "manifest.json"))["layers"]

    first = params.tokens.first_position
    split = (decomposition.fit_share, decomposition.folds, decomposition.split_seed)
    ids = tokens[:, first : first + loss.shape[1]]
    saes = {}
    for spec in measured(params):
        table = read_arrays(folder / spec.path / "tokens.npz")
        splits = draw_splits(*loss.shape, *split, read_arrays(folder / spec.hookpoint / MOMENTS)["kept"])
        x = open_activations(activations / spec.hookpoint)
        check_rows(table=table["error"].shape, activations=x.shape[:2], tokens=ids.shape, loss=loss.shape)
        saes[spec.path] = baselines(table, x, ids, loss, splits, decomposition.eigen_cutoff)
    arrays = stored(saes, depth)
    write_json(stage.writes(stage.reports.results / "norm_baselines.json"), results_of(arrays, params))
    write_arrays(stage.writes(stage.reports.results / STORED), arrays, compress=True)


if __name__ == "__main__":
    run(main)
