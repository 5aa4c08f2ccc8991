"""What it costs to train, open and run SAEs, and to keep what they give: functions of the sizes alone.

Constants of seconds and bytes are those of the receipts of the default profile; `darkmatter plan --check` holds the
whole against them.
"""

from collections.abc import Iterable

from darkmatter.costs.cost import Work
from darkmatter.costs.workload import FLOAT32, PlannedSae, Workload

BASE = {"torch": 0.25e9, "sae_lens": 0.6e9}  # bytes of a process that has imported it
BLOCKS = 5 * 64e6  # bytes of a published SAE in memory while it encodes: weights of one block, pre-activations
DEVICE_BLOCKS = 3 * 1.07e9  # the same on an accelerator, whose blocks are larger
GATHERED = 3 * 64e6  # rows of a published decoder that fired, float32
PADDING = 3  # slots of a row of a published SAE's codes over its L0: the row with most latents sets them for all
PACKED = 0.9  # bytes left of the codes of what fired when they are compressed
PER_FIRING = 40  # bytes: triples of what fired, joined and sorted
HASH = 0.5e9  # bytes/s through SHA-256 of one process
TOPK_PASSES = 4  # over the pre-activations of a row, forwards and backwards
OPTIMISER_PASSES = 20  # over each weight and step: gradient, Adam's moments, unit norms; read or written
SPARSE_PASSES = 6  # over k decoder or encoder rows: decoding, its gradients, sums over rows
DENSE_PRODUCTS = 6  # forwards and backwards through both matrices; a step of TopK by sparse sums, on the CPU, has one
LOGITS = 3  # copies of a batch's logits while cross-entropy is taken
GATHERED_PASSES = 6  # over dense activations of a row while codes are gathered


def training(w: Workload, sae: PlannedSae, dense: bool) -> tuple[Work, float]:
    """Of one SAE: its work, and its memory where it trains.

    Args:
        dense: through every latent, as JumpReLU does everywhere and TopK anywhere but on the CPU.
    """
    products = DENSE_PRODUCTS if dense else 1
    flop = 2.0 * products * sae.d_model * sae.d_sae * sae.train_tokens
    per_token = FLOAT32 * sae.d_sae * (TOPK_PASSES + OPTIMISER_PASSES * sae.d_model / w.params.saes.training.batch_size)
    if not dense:
        per_token += FLOAT32 * SPARSE_PASSES * sae.d_model * sae.l0
    memory = 4 * sae.size + FLOAT32 * 4 * w.params.saes.training.batch_size * sae.d_sae
    return Work(training=flop, traffic=per_token * sae.train_tokens), memory


def encoding(rows: int, sae: PlannedSae) -> Work:
    """All rows through one encoder, and what fired gathered."""
    single = 2.0 * rows * sae.d_model * sae.d_sae
    return Work(single=single, traffic=float(FLOAT32 * GATHERED_PASSES * rows * sae.d_sae), on_device=sae.published)


def encoding_memory(rows: int, sae: PlannedSae) -> float:
    if sae.published:
        return BLOCKS + PER_FIRING * rows * sae.l0 + 1.2 * codes_size(rows, sae)
    return 2 * sae.size + 3 * codes_size(rows, sae)


def codes_size(rows: int, sae: PlannedSae) -> float:
    """Index and value of each slot, and L0, in memory."""
    return rows * (8 * sae.l0 * (PADDING if sae.published else 1) + 4)


def codes_file(rows: int, sae: PlannedSae) -> float:
    """The same on disk; those of published SAEs are compressed, so that padding takes no room."""
    return PACKED * rows * (8 * sae.l0 + 4) if sae.published else codes_size(rows, sae)


def decoder(sae: PlannedSae) -> float:
    """Bytes of its decoder in memory while it decodes: of a published one the rows that fired."""
    return GATHERED if sae.published else sae.size / 2


def opened(saes: Iterable[PlannedSae]) -> float:
    """Bytes of the files that are mapped, and hashed, when these are opened."""
    return sum(sae.file_size for sae in saes if sae.published)


def opening(saes: Iterable[PlannedSae]) -> Work:
    """Hashing the files of published SAEs, in each process that opens them."""
    return Work(python=opened(saes) / HASH)


def unpacked(saes: Iterable[PlannedSae]) -> float:
    """Bytes of the temporary file of a decoder that is published transposed: Llama Scope's, as float32."""
    return max((sae.size / 2 for sae in saes if sae.file_bytes < FLOAT32), default=0.0)
