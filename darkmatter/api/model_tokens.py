"""Tokens for a model's activations: an array, documents, or the eval contexts of this repository."""

import itertools
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from darkmatter.api.model_rows import ModelFolder
from darkmatter.api.token_arrays import read_token_array
from darkmatter.artifacts import ArtifactError, read_json, sha256_file
from darkmatter.models import TOKENIZER, load_tokenizer
from darkmatter.paths import TOKENS
from darkmatter.text_files import lines_of, text_of
from darkmatter.tokens import check_ids, contexts_of, stack


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
    check_ids(
        ids,
        model.vocab_size,
        lambda number: load_tokenizer(model.folder).convert_ids_to_tokens(number) if own.is_file() else None,
    )
    return ids


def of_text(model: ModelFolder, text: Path, context_length: int, contexts: int | None) -> np.ndarray:
    """int32 [context, context_length]"""
    tokenizer = load_tokenizer(model.folder)
    found = list(itertools.islice(contexts_of(documents(text), tokenizer, context_length), contexts))
    if not found:
        raise ArtifactError(f"{text}: no document has {context_length} tokens; lower --context-length")
    ids = stack(found)
    check_ids(
        ids, model.vocab_size, tokenizer.convert_ids_to_tokens, [f"{text}, {context.document}" for context in found]
    )
    return ids


def documents(text: Path) -> Iterator[dict[str, str]]:
    """One document per line of a file, or per file of a folder; blank ones and hidden files are none."""
    if not text.exists():
        raise ArtifactError(f"{text} does not exist")
    if text.is_dir():
        files = sorted(file for file in text.iterdir() if file.is_file() and not file.name.startswith("."))
        pieces = ((file.name, text_of(file)) for file in files)
    else:
        pieces = ((f"line {number}", line) for number, line in enumerate(lines_of(text), 1))
    for name, piece in pieces:
        if piece.strip():
            yield {"id": name, "source": name, "domain": "text", "text": piece}
