"""per-token tables → how small SAEs' errors predict large ones' (section 4.4, appendix A.4).

In:  data/decomposition/PROFILE/HOOKPOINT/*/tokens.npz, data/tokens, data/model (tokenizer, for the text of the tokens)
Out: reports/results/per_token_scaling.json   pairs of SAEs; the tokens of Figs. 5 and 12

    python -m stages.per_token_scaling
"""

import numpy as np

from darkmatter.artifacts import open_array, read_arrays, write_json
from darkmatter.models import load_tokenizer
from darkmatter.paths import DECOMPOSITION, MODEL, RESULTS, TOKENS
from darkmatter.scaling import all_pairs
from darkmatter.splits import draw_splits
from darkmatter.stage import Stage, run

PARTS = {"error_sq": "error", "linear_sq": "linear/token", "nonlinear_sq": "nonlinear/token"}


def main(stage: Stage) -> None:
    params = stage.params
    hookpoint = params.figures.main_hookpoint
    folder = stage.reads(DECOMPOSITION / params.profile / hookpoint)
    specs = [spec for spec in params.sae_specs(hookpoint) if spec.group in params.per_token_scaling.groups]
    tables = {spec.name: read_arrays(folder / spec.name / "tokens.npz") for spec in specs}
    tokens = open_array(stage.reads(TOKENS / "eval.npy"), (None, None), "int32")
    tokenizer = load_tokenizer(stage.reads(MODEL))

    contexts, positions = next(iter(tables.values()))["error"].shape
    decomposition = params.decomposition
    splits = draw_splits(contexts, positions, decomposition.fit_share, decomposition.folds, decomposition.split_seed)
    error_sq = {name: table["error"].astype(np.float64) for name, table in tables.items()}
    saes = [{"name": spec.name, "d_sae": spec.d_sae} for spec in specs]
    pairs = all_pairs(saes, error_sq, splits, decomposition.bootstrap.model_dump())

    first = params.tokens.first_position
    shown = slice(0, min(params.per_token_scaling.tokens_shown, positions))
    ids = tokens[0, first : first + positions][shown]
    series = [
        sae | {part: tables[sae["name"]][column][0, shown].tolist() for part, column in PARTS.items()} for sae in saes
    ]
    example = {
        "context": 0,
        "positions": list(range(first, first + len(ids))),
        "token_ids": ids.tolist(),
        "text": [tokenizer.decode([token]) for token in ids.tolist()],
        "saes": series,
    }
    for part in ("linear", "nonlinear"):
        means = {name: float(table[f"{part}/token"].mean(dtype=np.float64)) for name, table in tables.items()}
        example[f"mean_{part}_sq"] = means
    content = {"hookpoint": hookpoint, "pairs": pairs, "tokens": example}
    write_json(stage.writes(RESULTS / "per_token_scaling.json"), content)


if __name__ == "__main__":
    run(main)
