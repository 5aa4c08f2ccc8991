"""Cost of each stage up to the codes, from the sizes of its work: pure functions of the workload.

Constants of seconds and bytes are those of the receipts of the default profile; `darkmatter plan --check` holds the
whole against them.
"""

import dataclasses
import itertools
from collections.abc import Iterable

from darkmatter.planning.cost import Cost, Work
from darkmatter.planning.workload import FLOAT32, SHORT, Sae, Workload, layer_of

BASE = {"torch": 0.25e9, "sae_lens": 0.6e9}  # bytes of a process that has imported it
PER_MB = {"corpus": 0.4, "tokens": 0.85}  # seconds per MB of text
BLOCKS = 5 * 64e6  # bytes of a published SAE in memory while it encodes: weights of one block, pre-activations
DEVICE_BLOCKS = 3 * 1.07e9  # the same on an accelerator, whose blocks are larger
GATHERED = 3 * 64e6  # rows of a published decoder that fired, float32
PADDING = 3  # slots of a row of a published SAE's codes over its L0: the row with most latents sets them for all
PACKED = 0.9  # bytes left of the codes of what fired when they are compressed
PER_FIRING = 40  # bytes: triples of what fired, joined and sorted
GATED_ROWS = 4096
HASH = 0.5e9  # bytes/s through SHA-256 of one process
COMPRESS = 40e6  # bytes/s of codes of what fired
LOGITS = 3  # copies of a batch's logits while cross-entropy is taken
TOPK_PASSES = 4  # over the pre-activations of a row, forwards and backwards
OPTIMISER_PASSES = 20  # over each weight and step: gradient, Adam's moments, unit norms; read or written
SPARSE_PASSES = 6  # over k decoder or encoder rows: decoding, its gradients, sums over rows
DENSE_PRODUCTS = 6  # forwards and backwards through both matrices; a step of TopK by sparse sums, on the CPU, has one
GATHERED_PASSES = 6  # over dense activations of a row while codes are gathered
FETCHED_TEXT = 0.4  # bytes downloaded for a byte of text


def corpus(w: Workload) -> Cost:
    python = 0.5 + PER_MB["corpus"] * w.text / 1e6
    fetched = w.wheels or FETCHED_TEXT * w.text * (1 + SHORT)
    return Cost((Work(python=python),), 0.1e9 + 14 * w.text, disk=w.text, download=fetched)


def model(w: Workload) -> Cost:
    """Dequantise or copy the weights; of a published model the download stays in the hub's cache, too."""
    kept = w.number_bytes * w.model.parameters
    download = w.model.file_bytes_per_parameter * w.model.parameters
    dequantise = 0.2e-6 * w.model.parameters if download and w.wheels else 0.0
    steps = (Work(python=4.0 + dequantise, loads="torch"),)
    memory = BASE["torch"] + min(2 * kept, 10e9)
    return Cost(steps, memory, disk=kept, scratch=download if w.wheels else 0.0, download=download)


def tokens(w: Workload) -> Cost:
    python = 3.0 + PER_MB["tokens"] * w.text / 1e6
    contexts = w.tokens.eval_contexts + max(w.train_contexts.values(), default=0)
    work = Work(python=python, loads="torch")
    return Cost((work,), BASE["torch"] + 13 * w.text, disk=4 * contexts * w.tokens.context_length)


def activations(w: Workload) -> Cost:
    """Every context once, as deep as its hookpoints need; `eval` runs through the logits, for the loss.

    Shards are joined one hookpoint at a time, each gone once its hookpoint is whole.
    """
    length, scored = w.tokens.context_length, w.tokens.context_length - w.tokens.first_position
    forward = w.model.pass_flops(w.tokens.eval_contexts, length, w.model.layers, scored)
    cuts = sorted({0, *w.train_contexts.values()})
    for start, stop in itertools.pairwise(cuts):
        depth = 1 + max(layer_of(name) for name, end in w.train_contexts.items() if end >= stop)
        forward += w.model.pass_flops(stop - start, length, depth)
    row = w.number_bytes * w.tokens.positions
    sizes = [row * d * (w.tokens.eval_contexts + w.train_contexts.get(name, 0)) for name, d in w.hookpoints.items()]
    shard = 2 * w.shard * row * sum(w.hookpoints.values())  # its batches, and these joined
    logits = LOGITS * FLOAT32 * w.batch * scored * w.model.vocabulary
    weights = w.number_bytes * w.model.parameters
    shards = max(1, (w.tokens.eval_contexts + cuts[-1]) // w.shard)
    work = Work(forward=forward, units=shards, loads="torch", on_device=True)
    loading = BASE["torch"] + weights
    return Cost((work,), BASE["torch"] + shard, weights + logits, loading, sum(sizes), scratch=max(sizes))


def training(w: Workload, sae: Sae, dense: bool) -> tuple[Work, float]:
    """Of one SAE: its work, and its memory where it trains.

    Args:
        dense: through every latent, as JumpReLU does everywhere and TopK anywhere but on the CPU.
    """
    products = DENSE_PRODUCTS if dense else 1
    single = 2.0 * products * sae.d_model * sae.d_sae * sae.train_tokens
    per_token = FLOAT32 * sae.d_sae * (TOPK_PASSES + OPTIMISER_PASSES * sae.d_model / w.batch_size)
    if not dense:
        per_token += FLOAT32 * SPARSE_PASSES * sae.d_model * sae.l0
    memory = 4 * sae.size + FLOAT32 * 4 * w.batch_size * sae.d_sae
    return Work(single=single, traffic=per_token * sae.train_tokens), memory


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
        single=sum(run.single for run, _ in runs),
        traffic=sum(run.traffic for run, _ in runs),
        units=len(runs),
        loads="sae_lens",
    )
    memory = BASE["sae_lens"] + max(memory for _, memory in runs)
    return Cost((work,), memory, disk=sum(sae.size for sae in trained))


def together(costs: list[Cost]) -> Cost:
    """One after another."""
    return Cost(
        tuple(step for cost in costs for step in cost.steps),
        *(max((getattr(cost, name) for cost in costs), default=0.0) for name in ("memory", "device", "staged")),
        disk=sum(cost.disk for cost in costs),
        scratch=max((cost.scratch for cost in costs), default=0.0),
        download=sum(cost.download for cost in costs),
        read=sum(cost.read for cost in costs),
    )


def unpacked(saes: Iterable[Sae]) -> float:
    """Bytes of the temporary file of a decoder that is published transposed: Llama Scope's, as float32."""
    return max((sae.size / 2 for sae in saes if sae.file_bytes < FLOAT32), default=0.0)


def encoding(rows: int, sae: Sae) -> Work:
    """All rows through one encoder, and what fired gathered."""
    single = 2.0 * rows * sae.d_model * sae.d_sae
    return Work(single=single, traffic=float(FLOAT32 * GATHERED_PASSES * rows * sae.d_sae), on_device=sae.published)


def codes_size(rows: int, sae: Sae) -> float:
    """Index and value of each slot, and L0, in memory."""
    return rows * (8 * sae.l0 * (PADDING if sae.published else 1) + 4)


def codes_file(rows: int, sae: Sae) -> float:
    """The same on disk; those of published SAEs are compressed, so that padding takes no room."""
    return PACKED * rows * (8 * sae.l0 + 4) if sae.published else codes_size(rows, sae)


def decoder(sae: Sae) -> float:
    """Bytes of its decoder in memory while it decodes: of a published one the rows that fired."""
    return GATHERED if sae.published else sae.size / 2


def opened(saes: Iterable[Sae]) -> float:
    """Bytes of the files that are mapped, and hashed, when these are opened."""
    return sum(sae.file_size for sae in saes if sae.published)


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


def encoding_memory(rows: int, sae: Sae) -> float:
    if sae.published:
        return BLOCKS + PER_FIRING * rows * sae.l0 + 1.2 * codes_size(rows, sae)
    return 2 * sae.size + 3 * codes_size(rows, sae)
