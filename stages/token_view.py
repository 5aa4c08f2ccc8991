"""per-token norms of one SAE and the tokens themselves → the contexts that the report colours.

In:  data/decomposition/PROFILE/HOOKPOINT/SAE/tokens.npz, data/tokens, data/model (tokenizer)
Out: reports/PROFILE/results/token_view.json   squared norms of x, the error and its parts, token by token

    python -m stages.token_view
"""

from darkmatter.experiments.token_view.compute import shown_sae, token_view
from darkmatter.models.load import load_tokenizer
from darkmatter.runner.stage import Stage, run
from darkmatter.storage.artifacts import open_array, read_arrays, read_json, write_json
from darkmatter.storage.paths import DECOMPOSITION, MODEL, TOKENS


def main(stage: Stage) -> None:
    params = stage.params
    hookpoint, sae = params.figures.main_hookpoint, shown_sae(params)
    content = {"hookpoint": hookpoint, "sae": sae and sae.name, "d_sae": sae and sae.d_sae}
    content["k"] = sae.k if sae and not sae.reference else None  # that of a published SAE is not its own
    contexts = []
    if sae:
        table = read_arrays(stage.reads(DECOMPOSITION / params.profile / hookpoint / sae.name / "tokens.npz"))
        ids = open_array(stage.reads(TOKENS / "eval.npy"), (None, None), "int32")
        documents = read_json(stage.reads(TOKENS / "manifest.json"))["contexts"]["eval"]
        tokenizer = load_tokenizer(stage.reads(MODEL))
        contexts = token_view(table, ids, params.tokens.first_position, documents)
        for context in contexts:
            context["text"] = [tokenizer.decode([token]) for token in context["token_ids"]]

    write_json(stage.writes(stage.reports.results / "token_view.json"), content | {"contexts": contexts})


if __name__ == "__main__":
    run(main)
