"""Tokens: documents and a tokenizer in, train and eval contexts out (section 4).

In:  data/corpus/, the tokenizer and manifest in data/model/.
Out: data/tokens/{train,eval}.npy int32 [contexts, context_length], data/tokens/manifest.json;
     reports/PROFILE/results/data.json, the summary of model, corpus and contexts that the report shows.

    python -m stages.tokens
"""

import sys

import numpy as np
from tqdm import tqdm

from darkmatter.models.load import load_tokenizer
from darkmatter.runner.stage import Stage, run
from darkmatter.storage.artifacts import read_json, write_json
from darkmatter.storage.paths import CORPUS, MODEL, TOKENS
from darkmatter.storage.replacing import replacing_folder
from darkmatter.text.corpus import read_documents
from darkmatter.text.tokens import check_ids, contexts_of, manifest, split_contexts, stack


def main(stage: Stage) -> None:
    tokens = stage.params.tokens
    documents = stage.reads(CORPUS / "documents.jsonl")
    corpus = read_json(stage.reads(CORPUS / "manifest.json"))
    model = read_json(stage.reads(MODEL / "manifest.json"))
    tokenizer = load_tokenizer(stage.reads(MODEL / "tokenizer.json").parent)

    lines = tqdm(
        read_documents(documents),
        total=corpus["documents"],
        desc="tokens",
        unit="document",
        file=sys.stderr,
        mininterval=1.0,
    )
    contexts = list(contexts_of(lines, tokenizer, tokens.context_length, tokens.windows))
    split = split_contexts(contexts, tokens)
    for chosen in (split.train, split.eval):
        names = [context.document for context in chosen]
        check_ids(stack(chosen), model["vocab_size"], tokenizer.convert_ids_to_tokens, names)
    facts = manifest(split, contexts, tokens, tokenizer, model["tokenizer_sha256"])

    with replacing_folder(stage.writes(TOKENS)) as folder:
        np.save(folder / "train.npy", stack(split.train), allow_pickle=False)
        np.save(folder / "eval.npy", stack(split.eval), allow_pickle=False)
        write_json(folder / "manifest.json", facts)
    summary = {
        "model": {key: value for key, value in model.items() if key != "files"},
        "corpus": corpus,
        "tokens": {key: value for key, value in facts.items() if key != "contexts"},
    }
    write_json(stage.writes(stage.reports.results / "data.json"), summary)


if __name__ == "__main__":
    run(main)
