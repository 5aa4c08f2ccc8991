"""Documents of a data set of the hub: its shards as one shuffled stream, in the order that the paper's code saw.

The paper shuffles with `datasets` (seed 42, buffer 10,000), as it was in 2024: a full buffer gives one row and takes
one. Since then the library gives out half of the buffer at a time, so the same seed means other rows; hence the
older order is made here, and tested against that of datasets 2.21. Only as many blocks of a shard are read as rows are
asked for.
"""

import io
import itertools
import json
from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow

from darkmatter.params.data import Corpus, Dataset
from darkmatter.params.given import given
from darkmatter.sources.hub import BLOCK, Stream
from darkmatter.sources.hub_access import Repo
from darkmatter.storage.artifacts import ArtifactError, sha256_file, write_json
from darkmatter.storage.replacing import replacing
from darkmatter.text.corpus import mark_duplicates

INDICES = 1000  # random positions drawn at once; part of the order
Row = dict[str, Any]


def shuffled(rows: Iterable[Row], seed: int, buffer: int) -> Iterator[Row]:
    """Rows in the order of `IterableDataset.shuffle(seed, buffer_size=buffer)` of datasets 2."""
    random = np.random.default_rng(seed)
    positions = (int(i) for _ in itertools.count() for i in random.integers(0, buffer, size=INDICES))
    kept: list[Row] = []
    for row in rows:
        if len(kept) < buffer:
            kept.append(row)
        else:
            position = next(positions)
            yield kept[position]
            kept[position] = row
    random.shuffle(kept)
    yield from kept


def shard_names(dataset: Dataset) -> list[str]:
    """Names of all shards, in the order of the shuffle."""
    numbers = list(range(dataset.shards))
    if dataset.shards > 1:
        np.random.default_rng(dataset.shuffle_seed).shuffle(numbers)
    return [dataset.files.format(number) for number in numbers]


def read_shard(repo: Repo, name: str, block: int = BLOCK) -> Iterator[Row]:
    """The JSON objects of one shard, each with its place in `origin`.

    Raises:
        ArtifactError: it is not Zstandard, or a line is no JSON object.
    """
    number = 0
    try:
        with (
            io.BufferedReader(Stream(repo, name, block), 1 << 20) as raw,
            pyarrow.CompressedInputStream(pyarrow.PythonFile(raw, mode="r"), "zstd") as unpacked,
            io.TextIOWrapper(io.BufferedReader(unpacked, 1 << 20), encoding="utf-8", newline="\n") as lines,
        ):
            for number, line in enumerate(lines):
                yield {"origin": f"{name}#{number:07d}", "row": json.loads(line)}
    except (ValueError, OSError, pyarrow.ArrowException) as error:
        raise ArtifactError(
            f"{repo}: {name}, line {number + 1} and on: no JSON lines in Zstandard ({error}). Correct "
            "corpus.dataset.files in conf/profile/."
        ) from error


def field(row: Row, path: str, where: str) -> str:
    """The text at `path`, with dots into inner objects."""
    value: Any = row
    for key in path.split("."):
        value = value.get(key) if isinstance(value, dict) else None
    if not isinstance(value, str):
        raise ArtifactError(f"{where} has no text in field {path!r}. Correct corpus.dataset in conf/profile/.")
    return value


def read_dataset(dataset: Dataset) -> Iterator[dict[str, str]]:
    """The first `documents` documents of the shuffled stream with at least `min_bytes`, as lines of documents.jsonl.

    Raises:
        HubError: a shard cannot be had.
        ArtifactError: it does not hold what `dataset` says.
    """
    repo = Repo(dataset.repo, dataset.revision, "dataset")
    rows = itertools.chain.from_iterable(read_shard(repo, name) for name in shard_names(dataset))
    result = 0
    for item in shuffled(rows, dataset.shuffle_seed, dataset.buffer):
        row, origin = item["row"], item["origin"]
        text = field(row, dataset.text_field, origin)
        if len(text.encode()) < dataset.min_bytes:
            continue
        domain = field(row, dataset.domain_field, origin) if dataset.domain_field else dataset.repo
        yield {
            "id": origin,
            "source": origin,
            "domain": domain,
            "licence": dataset.licence,
            "package": f"{dataset.repo}@{dataset.revision}",
            "origin": origin.partition("#")[0],
            "text": text,
        }
        result += 1
        if result == dataset.documents:
            return


def write_dataset(folder: Path, corpus: Corpus, documents: list[dict[str, str]]) -> None:
    """documents.jsonl in the order of the stream, and manifest.json with one entry of `sources` per domain.

    Duplicates are dropped only with `corpus.duplicate_ngram`, which the paper's protocol does not have.
    """
    dataset = given(corpus.dataset, "corpus.dataset")
    if corpus.duplicate_ngram is None:
        verdicts: list[str | None] = [None] * len(documents)
    else:
        texts = [document["text"] for document in documents]
        verdicts = mark_duplicates(texts, corpus.duplicate_ngram, corpus.duplicate_share)
    kept = [document for document, verdict in zip(documents, verdicts, strict=True) if verdict is None]
    path = folder / "documents.jsonl"
    with replacing(path) as temporary, temporary.open("w", encoding="utf-8", newline="\n") as file:
        for document in kept:
            file.write(json.dumps(document, sort_keys=True, ensure_ascii=False) + "\n")
    table = {}
    for domain in sorted({document["domain"] for document in documents}):
        own = [document for document in kept if document["domain"] == domain]
        dropped = Counter(v for d, v in zip(documents, verdicts, strict=True) if d["domain"] == domain)
        table[domain] = {
            "package": f"{dataset.repo}@{dataset.revision}",
            "sha256": None,
            "reader": "dataset",
            "domain": domain,
            "licence": dataset.licence,
            "documents": len(own),
            "sources": len(own),
            "characters": sum(len(document["text"]) for document in own),
            "dropped": {kind: dropped[kind] for kind in ("exact", "near")},
        }
    manifest = {
        "documents": len(kept),
        "sha256": sha256_file(path),
        "duplicate_ngram": corpus.duplicate_ngram,
        "duplicate_share": corpus.duplicate_share,
        "dataset": dataset.model_dump(),
        "sources": table,
    }
    write_json(folder / "manifest.json", manifest)
