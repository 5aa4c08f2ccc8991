"""Contexts: the first `context_length` tokens of long enough documents, balanced over domains (section 4).

With tokens.windows above 1 a long document gives the windows that follow, too, without overlap: train takes them all,
eval one of each document, so that its contexts stay as many documents.

Contexts are taken in turn from each domain until the number is reached, so a domain with few of them gives
what it has and the others make it up. A source (a book, a file) stands on one side of train and eval only.
With tokens.order `stream` (the paper's protocol) they are instead the first long enough documents of the stream as
it comes, eval before train: every document stands alone there, domains have the shares that the text has.
Everything here is integer arithmetic and PCG64: the same contexts on every machine.
"""

import itertools
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from darkmatter.params.tokens import TokenWindows
from darkmatter.storage.artifacts import ArtifactError, sha256_bytes

BATCH = 64  # documents tokenised at once
UNBALANCED = "the first documents of the stream that are long enough, whatever their domain"
SOURCES_AT_LEAST = 3  # of a domain on the eval side, where the domain's sources allow it
HELD_OUT_OF = 3  # with several windows a document, one document of so many is held out at most: train wants the rest


@dataclass(frozen=True)
class Context:
    """A window of a document: `ids` int32 [context_length]. Window 0 is the document's first tokens."""

    document: str
    source: str
    domain: str
    ids: np.ndarray
    window: int = 0


@dataclass(frozen=True)
class Split:
    """Contexts of both sides; any prefix of `train` is balanced too, since domains take turns."""

    train: list[Context]
    eval: list[Context]


def contexts_of(
    documents: Iterable[Mapping[str, str]], tokenizer: Any, context_length: int, windows: int = 1
) -> Iterator[Context]:
    """Tokenise documents as the tokenizer does by default (BOS only where it adds one); drop the shorter ones.

    Args:
        windows: of a document at most, one after the other; where the tokenizer adds BOS, each begins with it.
    """
    for batch in batched(documents, BATCH):
        texts = [document["text"] for document in batch]
        longest = context_length * windows
        encoded = tokenizer(texts, truncation=True, max_length=longest, verbose=False)["input_ids"]
        for document, ids in zip(batch, encoded, strict=True):
            for number, window in enumerate(cut(ids, context_length, tokenizer.bos_token_id)):
                row = np.array(window, dtype=np.int32)
                yield Context(document["id"], document["source"], document["domain"], row, number)


def cut(ids: Sequence[int], context_length: int, bos: int | None) -> Iterator[list[int]]:
    """Windows of `context_length` tokens without overlap, each after the BOS that `ids` begin with, if they do."""
    first = [bos] if ids and ids[0] == bos else []
    text, size = ids[len(first) :], context_length - len(first)
    return ([*first, *text[begin : begin + size]] for begin in range(0, len(text) - size + 1, size))


def check_ids(
    ids: np.ndarray, rows: int, name_of: Callable[[int], str | None], documents: Sequence[str] | None = None
) -> None:
    """Refuse tokens that the model's embedding has no row for.

    A tokenizer may have more tokens than the embedding has rows, where text does not produce them: those of Gemma 3
    end with a placeholder for images.

    Args:
        ids: integers [context, position].
        rows: of the embedding.
        name_of: the token of an id, None where there is none; asked only for the error.
        documents: the name of each context, for the error.

    Raises:
        ArtifactError: names the first such token.
    """
    if not ids.size or (ids.min() >= 0 and ids.max() < rows):
        return
    context, position = np.argwhere((ids < 0) | (ids >= rows))[0].tolist()
    number = int(ids[context, position])
    name = name_of(number) if 0 <= number < 2**31 else None
    shown = "unknown to the tokenizer" if name is None else repr(name)
    where = documents[context] if documents else f"context {context}"
    raise ArtifactError(
        f"{where}, position {position}: token {number} ({shown}) has no row in the model's embedding, whose "
        f"ids are 0 to {rows - 1}. The tokens are another tokenizer's, or hold padding or a placeholder that is no "
        "text: tokenise with the model's own, or take that text out"
    )


def batched(items: Iterable[Any], size: int) -> Iterator[list[Any]]:
    iterator = iter(items)
    while batch := list(itertools.islice(iterator, size)):
        yield batch


def first_contexts(contexts: Sequence[Context], tokens: TokenWindows) -> Split:
    """The first contexts for eval, so that they do not depend on how many are trained on; the next for train."""
    wanted = tokens.eval_contexts + tokens.train_contexts
    if len(contexts) < wanted:
        raise too_few(len(contexts), domain_counts(contexts), tokens)
    return Split(train=list(contexts[tokens.eval_contexts : wanted]), eval=list(contexts[: tokens.eval_contexts]))


def split_contexts(contexts: Sequence[Context], tokens: TokenWindows) -> Split:
    """Choose train and eval contexts.

    Raises:
        ArtifactError: too few contexts, or too few sources to keep the sides apart.
    """
    if tokens.order == "stream":
        return first_contexts(contexts, tokens)
    random = np.random.Generator(np.random.PCG64(tokens.seed))
    domains = sorted({context.domain for context in contexts})
    pools = {domain: shuffled([c for c in contexts if c.domain == domain], random) for domain in domains}
    pools = {domains[i]: pools[domains[i]] for i in random.permutation(len(domains))}
    supply = {domain: len(pool) for domain, pool in pools.items()}
    wanted = tokens.train_contexts + tokens.eval_contexts
    if len(contexts) < wanted:
        raise too_few(len(contexts), supply, tokens)
    one_each = {domain: one_of_each_document(pool) for domain, pool in pools.items()}
    held_out = hold_out(one_each, tokens)
    sides = {
        "train": {domain: [c for c in pool if c.source not in held_out[domain]] for domain, pool in pools.items()},
        "eval": {domain: [c for c in pool if c.source in held_out[domain]] for domain, pool in one_each.items()},
    }
    chosen = {}
    for side, number in (("train", tokens.train_contexts), ("eval", tokens.eval_contexts)):
        chosen[side] = list(itertools.islice(in_turn(sides[side]), number))
        if len(chosen[side]) < number:
            raise too_few(len(chosen[side]), supply, tokens, f" on the {side} side")
    return Split(**chosen)


def one_of_each_document(pool: Sequence[Context]) -> list[Context]:
    """Of each document the window that comes first in a shuffled pool, so that no part of documents is preferred."""
    chosen: dict[str, Context] = {}
    for context in pool:
        chosen.setdefault(context.document, context)
    return list(chosen.values())


def shuffled(items: Sequence[Any], random: np.random.Generator) -> list[Any]:
    return [items[i] for i in random.permutation(len(items))]


def hold_out(pools: Mapping[str, Sequence[Context]], tokens: TokenWindows) -> dict[str, set[str]]:
    """Per domain the sources of the eval side.

    Each domain first gets its share of eval contexts, of a domain with few documents a third of them at most where
    documents give several windows. Where whole sources cannot give it without leaving train
    short of its own share, the domain gives less, and the others' shares rise.
    """
    supply = {domain: len(pool) for domain, pool in pools.items()}
    total = shares(supply, tokens.train_contexts + tokens.eval_contexts)
    limit = {domain: count // HELD_OUT_OF for domain, count in supply.items()} if tokens.windows > 1 else supply
    while True:
        wanted = shares(limit, tokens.eval_contexts)
        held_out = {
            domain: whole_sources(pool, wanted[domain], len(pool) - (total[domain] - wanted[domain]))
            for domain, pool in pools.items()
        }
        given = {domain: sum(c.source in held_out[domain] for c in pool) for domain, pool in pools.items()}
        short = {domain: given[domain] for domain in pools if given[domain] < wanted[domain]}
        if not short:
            return held_out
        limit = {**limit, **short}


def shares(supply: Mapping[str, int], number: int) -> dict[str, int]:
    """What each domain gives when `number` contexts are taken in turn from domains that have `supply`."""
    turns = in_turn({domain: [domain] * count for domain, count in supply.items()})
    counts = Counter(itertools.islice(turns, number))
    return {domain: counts[domain] for domain in supply}


def in_turn(pools: Mapping[str, Sequence[Any]]) -> Iterator[Any]:
    """One item of each pool, then the next of each; empty pools drop out."""
    for round_ in itertools.zip_longest(*pools.values()):
        yield from (item for item in round_ if item is not None)


def whole_sources(pool: Sequence[Context], wanted: int, most: int) -> set[str]:
    """Sources of `pool` that give `wanted` contexts: at best exactly, never more than `most`.

    They are taken in the pool's order, those that give more than their part of the side only when others do not
    suffice: one long book would otherwise be the whole domain.
    """
    sizes = Counter(context.source for context in pool)
    taken: set[str] = set()
    missing = wanted
    for limit in (wanted // SOURCES_AT_LEAST, wanted):
        for source, size in sizes.items():
            if source not in taken and size <= min(limit, missing):
                taken.add(source)
                missing -= size
    if missing:
        larger = [source for source, size in sizes.items() if source not in taken and wanted - missing + size <= most]
        taken |= {min(larger, key=sizes.__getitem__)} if larger else set()
    return taken


def too_few(found: int, supply: Mapping[str, int], tokens: TokenWindows, where: str = "") -> ArtifactError:
    listing = ", ".join(f"{domain} {count}" for domain, count in sorted(supply.items())) or "none in any domain"
    units = "documents" if tokens.windows == 1 else "windows of documents"
    return ArtifactError(
        f"only {found} {units}{where} with at least {tokens.context_length} tokens for {tokens.train_contexts} train "
        f"and {tokens.eval_contexts} eval contexts without a source on both sides ({listing}). Lower "
        "tokens.train_contexts, tokens.eval_contexts or tokens.context_length, raise tokens.windows, add to "
        "corpus.sources, or raise corpus.dataset.documents."
    )


def stack(contexts: Sequence[Context]) -> np.ndarray:
    """int32 [contexts, context_length]"""
    return np.stack([context.ids for context in contexts])


def manifest(
    split: Split, contexts: Sequence[Context], tokens: TokenWindows, tokenizer: Any, sha256: str
) -> dict[str, Any]:
    """What the token arrays are: their hashes, the document of each row, counts by domain.

    Args:
        contexts: every one that the text gives, chosen or not.
        sha256: of the tokenizer's file.
    """
    sides = {"train": split.train, "eval": split.eval}
    counts = {side: domain_counts(chosen) for side, chosen in sides.items()}
    first = split.eval[0].ids[0]
    return {
        "tokens_sha256": {side: array_sha256(stack(chosen)) for side, chosen in sides.items()},
        "tokenizer_sha256": sha256,
        "begins_with_bos": bool(tokenizer.bos_token_id is not None and first == tokenizer.bos_token_id),
        "context_length": tokens.context_length,
        "first_position": tokens.first_position,
        "seed": tokens.seed,
        "available": domain_counts(contexts),
        "counts": counts,
        "balance": balance(counts, domain_counts(contexts)) if tokens.order == "balanced" else UNBALANCED,
        "contexts": {
            side: [
                {"document": c.document, "source": c.source, "domain": c.domain}
                | ({"window": c.window} if tokens.windows > 1 else {})
                for c in chosen
            ]
            for side, chosen in sides.items()
        },
    }


def domain_counts(contexts: Sequence[Context]) -> dict[str, int]:
    return dict(sorted(Counter(context.domain for context in contexts).items()))


def balance(counts: Mapping[str, Mapping[str, int]], available: Mapping[str, int]) -> str:
    """One sentence: equal shares, or which domains give less, and what they have."""
    short = []
    for side, own in counts.items():
        most = max(own.values())
        short += [
            f"{side}: {domain} {own.get(domain, 0)} of {most} (has {available[domain]})"
            for domain in available
            if own.get(domain, 0) < most - 1
        ]
    return "every domain gives the same number, to one" if not short else "domains that give less: " + "; ".join(short)


def array_sha256(array: np.ndarray) -> str:
    """SHA-256 of the values, little-endian, whatever the file around them."""
    return sha256_bytes(array.astype("<i4").tobytes())
