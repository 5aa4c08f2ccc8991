"""Tokens for a model's activations: an array, documents, or the eval contexts of this repository."""

import itertools
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from darkmatter.api.model_rows import ModelFolder
from darkmatter.artifacts import ArtifactError, open_array, read_json, sha256_file
from darkmatter.models import TOKENIZER, load_tokenizer
from darkmatter.paths import TOKENS
from darkmatter.tokens import contexts_of, stack


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
        tokens: .npy, int32 [context, position]. Without either: data/tokens/eval.npy.

    Raises:
        ArtifactError: no tokens, tokens of another model, no document long enough, or contexts without any row.
    """
    array = of_text(model, text, context_length, contexts) if text else of_file(model, tokens)[:contexts]
    rows = array.shape[1] - 1 - first_position
    if rows < 1:
        raise ArtifactError(
            f"contexts of {array.shape[1]} tokens leave no row from position {first_position} on (the last has no next "
            "token); lower --first-position"
        )
    if array.min() < 0 or array.max() >= model.vocab_size:
        raise ArtifactError(
            f"token ids reach from {array.min()} to {array.max()}, the model knows 0 to {model.vocab_size - 1}: they "
            "are another tokenizer's"
        )
    np.save(target, np.ascontiguousarray(array), allow_pickle=False)
    return len(array), rows


def of_file(model: ModelFolder, tokens: Path | None) -> np.ndarray:
    if tokens is None:
        tokens = TOKENS / "eval.npy"
        if not tokens.is_file():
            raise ArtifactError("no text: give --text FILE or --tokens FILE.npy (here is no data/tokens/eval.npy)")
        own = model.folder / TOKENIZER
        if not own.is_file() or sha256_file(own) != read_json(TOKENS / "manifest.json")["tokenizer_sha256"]:
            raise ArtifactError(f"{tokens} was made with another tokenizer than this model's: give --text or --tokens")
    return open_array(tokens, (None, None), "int32")


def of_text(model: ModelFolder, text: Path, context_length: int, contexts: int | None) -> np.ndarray:
    """int32 [context, context_length]"""
    found = list(itertools.islice(contexts_of(documents(text), load_tokenizer(model.folder), context_length), contexts))
    if not found:
        raise ArtifactError(f"{text}: no document has {context_length} tokens; lower --context-length")
    return stack(found)


def documents(text: Path) -> Iterator[dict[str, str]]:
    """One document per line of a file, or per file of a folder."""
    if not text.exists():
        raise ArtifactError(f"{text} does not exist")
    try:
        if text.is_dir():
            pieces = (
                (file.name, file.read_text(encoding="utf-8")) for file in sorted(text.iterdir()) if file.is_file()
            )
        else:
            pieces = ((f"line {number}", line) for number, line in enumerate(text.open(encoding="utf-8"), 1))
        for name, piece in pieces:
            yield {"id": name, "source": name, "domain": "text", "text": piece}
    except UnicodeDecodeError as error:
        raise ArtifactError(f"{text} is not UTF-8 text ({error})") from None
