"""Cost of each stage up to the codes, from the sizes of its work: pure functions of the workload."""

import dataclasses
import itertools

from darkmatter.costs.cost import Cost, Work, together
from darkmatter.costs.saes import (
    BASE,
    BLOCKS,
    DEVICE_BLOCKS,
    HASH,
    LOGITS,
    codes_file,
    encoding,
    encoding_memory,
    opened,
    training,
    unpacked,
)
from darkmatter.costs.workload import FLOAT32, Workload, layer_number
from darkmatter.params.schema import Params

WHEELS, PACKED = 25e6, 28e6  # bytes of the seven packages of text of the default profile, packed and as documents
SYNTHETIC = 0.2e6
DOCUMENT = 6000  # bytes of one of the Pile on average
SHORT = 3  # documents of the Pile passed over for each that is long enough for a context
PER_MB = {"corpus": 0.4, "tokens": 0.85}  # seconds per MB of text
GATED_ROWS = 4096
COMPRESS = 40e6  # bytes/s of codes of what fired
FETCHED_TEXT = 0.4  # bytes downloaded for a byte of text


def wheels(params: Params) -> float:
    """Bytes of the packages that text and model come in."""
    return WHEELS * sum(bool(source.package) for source in params.corpus.sources.values()) / 7


def text_bytes(params: Params) -> float:
    """Bytes of the text that is kept: of the packages as measured; of a data set by its number of documents."""
    dataset = params.corpus.dataset
    if dataset:
        return float(DOCUMENT * dataset.documents)
    return PACKED / 7 * sum(source.package is not None for source in params.corpus.sources.values()) or SYNTHETIC


def corpus(w: Workload) -> Cost:
    text = text_bytes(w.params)
    python = 0.5 + PER_MB["corpus"] * text / 1e6
    fetched = wheels(w.params) or FETCHED_TEXT * text * (1 + SHORT)
    return Cost((Work(python=python),), 0.1e9 + 14 * text, disk=text, download=fetched)


def model(w: Workload) -> Cost:
    """Dequantise or copy the weights; of a published model the download stays in the hub's cache, too."""
    kept = w.number_bytes * w.model.parameters
    download = w.model.file_bytes_per_parameter * w.model.parameters
    in_wheels = wheels(w.params)
    dequantise = 0.2e-6 * w.model.parameters if download and in_wheels else 0.0
    steps = (Work(python=4.0 + dequantise, loads="torch"),)
    memory = BASE["torch"] + min(2 * kept, 10e9)
    return Cost(steps, memory, disk=kept, scratch=download if in_wheels else 0.0, download=download)


def tokens(w: Workload) -> Cost:
    text = text_bytes(w.params)
    python = 3.0 + PER_MB["tokens"] * text / 1e6
    contexts = w.tokens.eval_contexts + max(w.train_contexts.values(), default=0)
    work = Work(python=python, loads="torch")
    return Cost((work,), BASE["torch"] + 13 * text, disk=4 * contexts * w.tokens.context_length)


def activations(w: Workload) -> Cost:
    """Every context once, as deep as its hookpoints need; `eval` runs through the logits, for the loss.

    Shards are joined one hookpoint at a time, each gone once its hookpoint is whole.
    """
    length, scored = w.tokens.context_length, w.tokens.context_length - w.tokens.first_position
    forward = w.model.pass_flops(w.tokens.eval_contexts, length, w.model.layers, scored)
    cuts = sorted({0, *w.train_contexts.values()})
    for start, stop in itertools.pairwise(cuts):
        depth = 1 + max(layer_number(name) for name, end in w.train_contexts.items() if end >= stop)
        forward += w.model.pass_flops(stop - start, length, depth)
    in_shard, row = w.params.activations.shard_contexts, w.number_bytes * w.tokens.positions
    sizes = [row * d * (w.tokens.eval_contexts + w.train_contexts.get(name, 0)) for name, d in w.hookpoints.items()]
    shard = 2 * in_shard * row * sum(w.hookpoints.values())  # its batches, and these joined
    logits = LOGITS * FLOAT32 * w.params.activations.batch_contexts * scored * w.model.vocabulary
    weights = w.number_bytes * w.model.parameters
    shards = max(1, (w.tokens.eval_contexts + cuts[-1]) // in_shard)
    work = Work(forward=forward, units=shards, loads="torch", on_device=True)
    loading = BASE["torch"] + weights
    return Cost((work,), BASE["torch"] + shard, weights + logits, loading, sum(sizes), scratch=max(sizes))


def saes(w: Workload) -> Cost:
    """Train every SAE; published ones are downloaded, hashed, read for what is no number, and gated instead."""
    published, trained = [sae for sae in w.saes if sae.published], [sae for sae in w.saes if not sae.published]
    if published and trained:
        return together([saes(dataclasses.replace(w, saes=tuple(part))) for part in (published, trained)])
    if published:
        gates = [encoding(GATED_ROWS, sae) for sae in published]
        size = sum(sae.file_size for sae in published)
        work = Work(
            single=sum(one.single for one in gates),
            traffic=sum(one.traffic for one in gates),
            python=2 * size / HASH,  # the second reading
            loads="torch",
            on_device=True,
        )
        rows = 3 * FLOAT32 * GATED_ROWS * max(sae.d_model for sae in published)
        return Cost((work,), BASE["torch"] + BLOCKS + rows, DEVICE_BLOCKS, scratch=unpacked(published), download=size)
    if not trained:
        return Cost()
    runs = [training(w, sae, sae.dense) for sae in trained]
    work = Work(
        training=sum(run.training for run, _ in runs),
        traffic=sum(run.traffic for run, _ in runs),
        units=len(runs),
        loads="sae_lens",
    )
    memory = BASE["sae_lens"] + max(memory for _, memory in runs)
    return Cost((work,), memory, disk=sum(sae.size for sae in trained))


def codes(w: Workload) -> Cost:
    if not w.saes:
        return Cost()
    works, fired = [encoding(w.rows, sae) for sae in w.saes], [8 * w.rows * sae.l0 for sae in w.saes if sae.published]
    read = opened(w.saes)
    work = Work(
        single=sum(one.single for one in works),
        traffic=sum(one.traffic for one in works),
        python=read / HASH + sum(fired) / COMPRESS,
        units=len(works),
        loads="torch" if fired else "sae_lens",
        on_device=bool(fired),
    )
    largest = max(encoding_memory(w.rows, sae) for sae in w.saes)
    disk = sum(codes_file(w.rows, sae) for sae in w.saes)
    base = BASE["torch" if fired else "sae_lens"]
    device = DEVICE_BLOCKS if fired else 0.0
    return Cost((work,), base + largest, device, disk=disk, scratch=unpacked(w.saes), read=read)


COSTS = {function.__name__: function for function in (corpus, model, tokens, activations, saes, codes)}
