"""Tokens for a model's activations: an array, documents, or the eval contexts of this repository."""

import itertools
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Int

from darkmatter.api.model_rows import ModelFolder
from darkmatter.api.texts import documents
from darkmatter.api.token_arrays import read_token_array
from darkmatter.models.load import TOKENIZER, load_tokenizer
from darkmatter.storage.artifacts import ArtifactError, read_json, sha256_file
from darkmatter.storage.paths import TOKENS
from darkmatter.text.tokens import check_ids, contexts_of, stack

RUN = 16  # of one token at the edge of contexts: no text ends or starts so


def make_tokens(
    model: ModelFolder,
    target: Path,
    text: Path | None,
    tokens: Path | None,
    context_length: int,
    first_position: int,
    contexts: int | None,
) -> tuple[int, int]:
    """Write `target`, int32 [context, position]; returns (contexts, rows kept of each).

    Args:
        text: a file with one document per line, or a folder with one per file; the first `context_length` tokens of
            each document that is long enough are one context.
        tokens: .npy, integers [context, position]. Without either: data/tokens/eval.npy.

    Raises:
        ArtifactError: no tokens, tokens that the model lacks, no document long enough, or contexts without any row.
    """
    if first_position < 0:
        raise ArtifactError(f"--first-position {first_position}: positions are counted from 0")
    array = of_text(model, text, context_length, contexts) if text else of_file(model, tokens, contexts)
    rows = array.shape[1] - 1 - first_position
    if rows < 1:
        raise ArtifactError(
            f"contexts of {array.shape[1]} tokens leave no row from position {first_position} on (the last has no next "
            "token); lower --first-position"
        )
    np.save(target, np.ascontiguousarray(array, dtype=np.int32), allow_pickle=False)
    return len(array), rows


def of_file(model: ModelFolder, tokens: Path | None, contexts: int | None) -> np.ndarray:
    """Integers [context, position], each with a row in the embedding."""
    own = model.folder / TOKENIZER
    if tokens is None:
        tokens = TOKENS / "eval.npy"
        if not tokens.is_file():
            raise ArtifactError("no text: give --text FILE or --tokens FILE.npy (here is no data/tokens/eval.npy)")
        if not own.is_file() or sha256_file(own) != read_json(TOKENS / "manifest.json")["tokenizer_sha256"]:
            raise ArtifactError(f"{tokens} was made with another tokenizer than this model's: give --text or --tokens")
    ids = read_token_array(tokens)[:contexts]
    tokenizer = tokenizer_of(model)
    check_ids(ids, model.vocab_size, tokenizer.convert_ids_to_tokens if tokenizer else lambda number: None)
    if tokenizer and ids.max() > (last := max(tokenizer.get_vocab().values())):
        raise ArtifactError(
            f"{tokens} holds token {ids.max()}, the last of the model's tokenizer is {last}: they are another "
            "tokenizer's, whose ids the model's embedding has room for, but no meaning. Tokenise with the model's own"
        )
    check_padding(ids, tokenizer.all_special_ids if tokenizer else [], tokens)
    return ids


def tokenizer_of(model: ModelFolder) -> Any:
    """The model's tokenizer, or None where it has none that loads: with ids at hand only checks rest on it."""
    try:
        return load_tokenizer(model.folder)
    except ArtifactError:
        return None


def check_padding(ids: Int[np.ndarray, "context position"], special: list[int], tokens: Path) -> None:
    """Refuse contexts that end or start with one token again and again: the model would take padding for text."""
    for side, ordered in (("end", ids[:, ::-1]), ("start", ids)):
        edge = ordered[:, 0]
        same = ordered == edge[:, None]
        runs = np.where(same.all(1), ids.shape[1], same.argmin(1))
        result = np.flatnonzero(runs >= np.where(np.isin(edge, special), 2, RUN))
        if len(result) > 1:
            raise ArtifactError(
                f"{tokens}: {len(result):,} contexts {side} with the same token again and again (context {result[0]}: "
                f"{runs[result[0]]} times {edge[result[0]]}), as padding or a doubled BOS does. All tokens count as "
                "text: cut contexts to a length that all have, leave out the shorter ones, and give one BOS"
            )


def of_text(model: ModelFolder, text: Path, context_length: int, contexts: int | None) -> np.ndarray:
    """int32 [context, context_length]"""
    tokenizer = load_tokenizer(model.folder)
    pieces = documents(text)
    if (first := next(pieces, None)) is None:
        raise ArtifactError(f"{text} holds no text: give a file with one document per line, or a folder of files")
    pieces = itertools.chain([first], pieces)
    result = list(itertools.islice(contexts_of(pieces, tokenizer, context_length), contexts))
    if not result:
        raise ArtifactError(f"{text}: no document has {context_length} tokens; lower --context-length")
    ids = stack(result)
    check_ids(
        ids, model.vocab_size, tokenizer.convert_ids_to_tokens, [f"{text}, {context.document}" for context in result]
    )
    return ids
