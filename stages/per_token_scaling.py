"""per-token tables → how small SAEs' errors predict large ones' (section 4.4, appendices A.4 and E).

In:  data/decomposition/PROFILE/HOOKPOINT/{moments,*/tokens.npz}, data/tokens, data/model (tokenizer, for the text)
Out: reports/PROFILE/results/per_token_scaling.json       pairs of SAEs; the tokens of Figs. 5 and 12; estimands
     reports/PROFILE/results/per_token_scaling_sums.npz   the sums that these follow from

    python -m stages.per_token_scaling
"""

from darkmatter.decomposition.results import MOMENTS
from darkmatter.experiments.per_token_scaling.compute import scaling_regressions
from darkmatter.experiments.per_token_scaling.results import STORED, measured, results_of, stored
from darkmatter.experiments.per_token_scaling.token_series import SHOWN_CONTEXT, token_sums
from darkmatter.models.load import load_tokenizer
from darkmatter.regression.splits import draw_splits
from darkmatter.runner.processes import single_thread
from darkmatter.runner.stage import Stage, run
from darkmatter.storage.artifacts import open_array, read_arrays, write_arrays, write_json
from darkmatter.storage.paths import DECOMPOSITION, MODEL, TOKENS


def main(stage: Stage) -> None:
    single_thread()
    params, decomposition = stage.params, stage.params.decomposition
    hookpoint = params.figures.main_hookpoint
    folder = stage.reads(DECOMPOSITION / params.profile / hookpoint)
    saes = measured(params)
    tables = {sae["name"]: read_arrays(folder / sae["name"] / "tokens.npz") for sae in saes}
    tokens = open_array(stage.reads(TOKENS / "eval.npy"), (None, None), "int32")
    tokenizer = load_tokenizer(stage.reads(MODEL))

    kept = read_arrays(folder / MOMENTS)["kept"]
    split = (decomposition.fit_share, decomposition.folds, decomposition.split_seed)
    splits = draw_splits(*kept.shape, *split, kept)
    scalings = scaling_regressions(saes, tables, splits, decomposition.eigen_cutoff)
    first, shown = params.tokens.first_position, params.per_token_scaling.tokens_shown
    ids = tokens[SHOWN_CONTEXT, first : first + kept.shape[1]]
    arrays = stored(scalings, token_sums(saes, tables, splits, shown, ids))

    content = results_of(arrays, params)
    content["tokens"]["text"] = [tokenizer.decode([token]) for token in content["tokens"]["token_ids"]]
    write_json(stage.writes(stage.reports.results / "per_token_scaling.json"), content)
    write_arrays(stage.writes(stage.reports.results / STORED), arrays, compress=True)


if __name__ == "__main__":
    run(main)
