"""Cost of each stage up to the codes, from the sizes of its work: pure functions of the workload.

Constants of seconds and bytes are those of the receipts of the default profile; `darkmatter plan --check` holds the
whole against them.
"""

import itertools

from darkmatter.planning.cost import Cost, Work
from darkmatter.planning.workload import FLOAT32, Sae, Workload, layer_of

BASE = {"torch": 0.25e9, "sae_lens": 0.6e9}  # bytes of a process that has imported it
PER_MB = {"corpus": 0.4, "tokens": 0.85}  # seconds per MB of text
BLOCK = 2e9  # bytes of a published SAE in memory: wider ones are read in blocks
LOGITS = 3  # copies of a batch's logits while cross-entropy is taken
TOPK_PASSES = 4  # over the pre-activations of a row, forwards and backwards
OPTIMISER_PASSES = 20  # over each weight and step: gradient, Adam's moments, unit norms; read or written
SPARSE_PASSES = 6  # over k decoder or encoder rows: decoding, its gradients, sums over rows
JUMPRELU_PRODUCTS = 6  # forwards and backwards through both matrices; a sparse TopK step has one
GATHERED_PASSES = 6  # over dense activations of a row while codes are gathered
FETCHED_TEXT = 0.4  # bytes downloaded for a byte of text


def corpus(w: Workload) -> Cost:
    python = 0.5 + PER_MB["corpus"] * w.text / 1e6
    fetched = w.wheels or FETCHED_TEXT * w.text
    return Cost((Work(python=python),), 0.1e9 + 14 * w.text, disk=w.text, download=fetched)


def model(w: Workload) -> Cost:
    """Dequantise or copy the weights; of a published model both the download and the copy stay on disk."""
    kept = w.model_bytes * w.model.parameters
    download = w.model.file_bytes_per_parameter * w.model.parameters
    dequantise = 0.2e-6 * w.model.parameters if download and w.wheels else 0.0
    steps = (Work(python=4.0 + dequantise, loads="torch"),)
    return Cost(steps, BASE["torch"] + min(2 * kept, 10e9), kept, scratch=download, download=download)


def tokens(w: Workload) -> Cost:
    python = 3.0 + PER_MB["tokens"] * w.text / 1e6
    contexts = w.tokens.eval_contexts + max(w.train_contexts.values(), default=0)
    return Cost(
        (Work(python=python, loads="torch"),), BASE["torch"] + 13 * w.text, 4 * contexts * w.tokens.context_length
    )


def activations(w: Workload) -> Cost:
    """Every context once, as deep as its hookpoints need; `eval` runs through the logits, for the loss."""
    length, scored = w.tokens.context_length, w.tokens.context_length - w.tokens.first_position
    forward = w.model.pass_flops(w.tokens.eval_contexts, length, w.model.layers, scored)
    cuts = sorted({0, *w.train_contexts.values()})
    for start, stop in itertools.pairwise(cuts):
        depth = 1 + max(layer_of(name) for name, end in w.train_contexts.items() if end >= stop)
        forward += w.model.pass_flops(stop - start, length, depth)
    row = FLOAT32 * w.tokens.positions
    disk = sum(row * d * (w.tokens.eval_contexts + w.train_contexts.get(name, 0)) for name, d in w.hookpoints.items())
    shard = 16 * row * sum(w.hookpoints.values())
    logits = LOGITS * FLOAT32 * w.batch * scored * w.model.vocabulary
    memory = BASE["torch"] + w.model_bytes * w.model.parameters + logits + shard
    shards = max(1, (w.tokens.eval_contexts + cuts[-1]) // 16)
    return Cost((Work(forward=forward, units=shards, loads="torch"),), memory, disk, scratch=disk)


def training(w: Workload, sae: Sae) -> tuple[Work, float]:
    """Of one SAE: its work and its memory."""
    products = JUMPRELU_PRODUCTS if sae.dense else 1
    single = 2.0 * products * sae.d_model * sae.d_sae * sae.train_tokens
    per_token = FLOAT32 * sae.d_sae * (TOPK_PASSES + OPTIMISER_PASSES * sae.d_model / w.batch_size)
    active = sae.d_sae if sae.dense else sae.l0
    per_token += FLOAT32 * SPARSE_PASSES * sae.d_model * active * (0 if sae.dense else 1)
    memory = BASE["sae_lens"] + 4 * sae.size + FLOAT32 * 4 * w.batch_size * sae.d_sae
    return Work(single=single, traffic=per_token * sae.train_tokens), memory


def saes(w: Workload) -> Cost:
    """Train every SAE; published ones are downloaded and gated instead."""
    published = sum(sae.file_size for sae in w.saes if sae.published)
    trained = [sae for sae in w.saes if not sae.published]
    if not trained:
        return Cost(memory=BASE["torch"] + BLOCK if w.saes else 0.0, disk=published, download=published)
    runs = [training(w, sae) for sae in trained]
    work = Work(
        single=sum(run.single for run, _ in runs),
        traffic=sum(run.traffic for run, _ in runs),
        units=len(runs),
        loads="sae_lens",
    )
    return Cost((work,), max(memory for _, memory in runs), published + sum(sae.size for sae in trained))


def encoding(rows: int, sae: Sae) -> Work:
    """All rows through one encoder, and what fired gathered."""
    single = 2.0 * rows * sae.d_model * sae.d_sae
    return Work(single=single, traffic=float(FLOAT32 * GATHERED_PASSES * rows * sae.d_sae))


def codes_size(rows: int, sae: Sae) -> float:
    """Index and value of each slot, and L0."""
    return rows * (8 * sae.stored_l0 + 4)


def held(sae: Sae) -> float:
    """Bytes of an SAE in memory."""
    return min(sae.size, BLOCK) if sae.published else sae.size


def codes(w: Workload) -> Cost:
    if not w.saes:
        return Cost()
    works = [encoding(w.rows, sae) for sae in w.saes]
    work = Work(
        single=sum(one.single for one in works),
        traffic=sum(one.traffic for one in works),
        units=len(works),
        loads="sae_lens",
    )
    largest = max(2 * held(sae) + 3 * codes_size(w.rows, sae) for sae in w.saes)
    read = sum(sae.file_size for sae in w.saes if sae.published)
    disk = sum(codes_size(w.rows, sae) for sae in w.saes)
    return Cost((work,), BASE["sae_lens"] + largest, disk, read=read)
