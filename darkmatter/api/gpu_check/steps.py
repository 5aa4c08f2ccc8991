"""model + text + SAE of the hub → the decomposition of one SAE, step by step, with the seconds of each."""

import itertools
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from darkmatter.models.hub_model import (  # first: it closes the hub for what is imported after it
    fetch_model,
    write_hub_model,
)

# isort: split
import numpy as np

from darkmatter.api.decompose import decompose
from darkmatter.api.gpu_check.protocol import Protocol
from darkmatter.api.model_rows import open_model, read_rows
from darkmatter.api.result import Decomposed
from darkmatter.models.load import MANIFEST, load_tokenizer
from darkmatter.saes.published.load import load_pretrained
from darkmatter.sources.hub import pinned
from darkmatter.sources.hub_access import Repo
from darkmatter.storage.artifacts import ArtifactError, read_json
from darkmatter.text.hub_corpus import read_dataset
from darkmatter.text.tokens import array_sha256, check_ids, contexts_of, stack


@dataclass(frozen=True)
class Ran:
    """What the steps leave: the decomposition, what it was made from, and how long it took.

    Attributes:
        sources: revisions and SHA-256s of model, text and SAE, and of the tokens.
        seconds: of each step.
    """

    result: Decomposed
    nominal_l0: float
    sources: dict[str, Any]
    seconds: dict[str, float]


def run_steps(protocol: Protocol, device: str, work: Path) -> Ran:
    """Fetch, extract, decompose.

    Args:
        work: an empty folder, for the model's copy and scratch files.

    Raises:
        ArtifactError: something cannot be had, or is not what it claims to be.
    """
    seconds: dict[str, float] = {}

    @contextmanager
    def step(name: str) -> Iterator[None]:
        print(f"{name} …", flush=True)
        start = time.perf_counter()
        yield
        seconds[name] = round(time.perf_counter() - start, 2)

    model, tokens = work / "model", work / "tokens.npy"
    with step("model"):
        model.mkdir()
        write_hub_model(model, fetch_model(protocol.model), protocol.model, {"label": protocol.model.label})
    with step("text"):
        ids = first_tokens(protocol, model)
        np.save(tokens, ids, allow_pickle=False)
    with step("activations"):
        opened = open_model(str(model), None, work)
        x = np.stack(list(read_rows(opened, protocol.sae.hookpoint, tokens, len(ids), protocol.first_position, device)))
    with step("sae"):
        rows = x.reshape(-1, x.shape[-1])
        loaded = load_pretrained(protocol.sae.reference, rows=rows, manifest=protocol.manifest, device=device)
    with step("decomposition"):
        options = protocol.decomposition.model_dump()
        result = decompose(x, loaded.sae, device=device, **options.pop("bootstrap"), **options)
    text = protocol.dataset
    sources = {
        "model": {"repo": protocol.model.repo, "revision": protocol.model.revision},
        "text": {"repo": text.repo, "revision": text.revision},
        "sae": loaded.source,
        "tokens_sha256": array_sha256(ids),
    }
    sources["model"]["sha256"] = read_json(model / MANIFEST)["hub_files"]
    sources["text"]["sha256"] = pinned(Repo(text.repo, text.revision, "dataset"))
    return Ran(result, loaded.nominal_l0, sources, seconds)


def first_tokens(protocol: Protocol, model: Path) -> np.ndarray:
    """int32 [context, position]: of the first documents of the stream that fill a context."""
    documents = read_dataset(protocol.dataset)
    tokenizer = load_tokenizer(model)
    result = contexts_of(documents, tokenizer, protocol.context_length)
    chosen = list(itertools.islice(result, protocol.contexts))
    if len(chosen) < protocol.contexts:
        raise ArtifactError(
            f"only {len(chosen)} documents of {protocol.dataset.repo} have {protocol.context_length} tokens, "
            f"{protocol.contexts} are needed: raise DOCUMENTS in darkmatter/api/gpu_check/protocol.py"
        )
    ids = stack(chosen)
    names = [context.document for context in chosen]
    check_ids(ids, read_json(model / MANIFEST)["vocab_size"], tokenizer.convert_ids_to_tokens, names)
    return ids
