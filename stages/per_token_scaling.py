"""per-token tables → how small SAEs' errors predict large ones' (section 4.4, appendices A.4 and E).

In:  data/decomposition/PROFILE/HOOKPOINT/*/tokens.npz, data/tokens, data/model (tokenizer, for the text of the tokens)
Out: reports/results/per_token_scaling.json   pairs of SAEs; the tokens of Figs. 5 and 12; estimands

    python -m stages.per_token_scaling
"""

from darkmatter.artifacts import open_array, read_arrays, write_json
from darkmatter.conventions import CONVENTIONS, PRIMARY
from darkmatter.experiments.scaling import scaling_regressions
from darkmatter.experiments.scaling_estimates import pair_estimates, pairs_of, scaling_estimands
from darkmatter.experiments.token_series import SHOWN_CONTEXT, part_estimands, token_series
from darkmatter.models import load_tokenizer
from darkmatter.paths import DECOMPOSITION, MODEL, RESULTS, TOKENS
from darkmatter.processes import single_thread
from darkmatter.splits import SPLITS, draw_splits
from darkmatter.stage import Stage, run


def main(stage: Stage) -> None:
    single_thread()
    params, decomposition = stage.params, stage.params.decomposition
    hookpoint = params.figures.main_hookpoint
    folder = stage.reads(DECOMPOSITION / params.profile / hookpoint)
    specs = [spec for spec in params.sae_specs(hookpoint) if spec.group in params.per_token_scaling.groups]
    tables = {spec.name: read_arrays(folder / spec.name / "tokens.npz") for spec in specs}
    tokens = open_array(stage.reads(TOKENS / "eval.npy"), (None, None), "int32")
    tokenizer = load_tokenizer(stage.reads(MODEL))

    contexts, positions = next(iter(tables.values()))["error"].shape
    splits = draw_splits(contexts, positions, decomposition.fit_share, decomposition.folds, decomposition.split_seed)
    bootstrap = decomposition.bootstrap.model_dump()
    saes = [{"name": spec.name, "d_sae": spec.d_sae, "k": spec.k} for spec in specs]
    pairs = pairs_of(scaling_regressions(saes, tables, splits, decomposition.eigen_cutoff))

    first, shown = params.tokens.first_position, params.per_token_scaling.tokens_shown
    series = token_series(saes, tables, shown, first, tokens[SHOWN_CONTEXT, first : first + positions])
    series["text"] = [tokenizer.decode([token]) for token in series["token_ids"]]

    variants = {
        split: {
            way: scaling_estimands(pairs, split, way, bootstrap)
            | part_estimands(saes, tables, splits, split, way, shown, bootstrap)
            for way in CONVENTIONS
        }
        for split in SPLITS
    }
    split, convention = PRIMARY
    content = {
        "hookpoint": hookpoint,
        "pairs": [pair_estimates(pair, bootstrap) for pair in pairs],
        "tokens": series,
        "estimands": variants[split][convention],
        "estimands_by_variant": variants,
    }
    write_json(stage.writes(RESULTS / "per_token_scaling.json"), content)


if __name__ == "__main__":
    run(main)
