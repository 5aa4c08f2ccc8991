"""How much disk a workload takes at its peak, as the stages are written and as a budget would have it."""

from collections.abc import Mapping
from dataclasses import dataclass

from darkmatter.planning.cost import Cost
from darkmatter.planning.data_costs import codes_size
from darkmatter.planning.workload import FLOAT32, Workload

STORED_UNITS = ("saes", "codes", "decomposition", "error_saes")
BUDGET = 0.2e12  # bytes that a suite of published SAEs may take


@dataclass(frozen=True)
class Layout:
    """Attributes:
    peak: bytes at the fullest moment, where files can share their blocks (reflinks: XFS, btrfs, APFS).
    copied: where they cannot (ext4): DVC's cache holds a second copy of outputs, and stored units a third of theirs.
    """

    name: str
    peak: float
    copied: float


def layouts(w: Workload, costs: Mapping[str, Cost]) -> tuple[Layout, ...]:
    """From everything kept in float32 to one hookpoint at a time; for SAEs trained here only the first."""
    everything = Layout("everything kept, activations in float32", *peaks(costs))
    published = sum(sae.file_size for sae in w.saes if sae.published)
    if not published:
        return (everything,)
    largest = max(sae.file_size for sae in w.saes)
    saved = published - largest
    evicted = Layout("SAEs streamed and evicted", *peaks(costs, {"saes": saved}))
    dtype = w.model_bytes / FLOAT32
    rows = costs["activations"].disk
    halved = {"saes": saved, "activations": rows * (1 - dtype)}
    in_dtype = Layout("and activations in the model's dtype", *peaks(costs, halved))
    row = FLOAT32 * w.tokens.positions
    one = max(row * d * (w.tokens.eval_contexts + w.train_contexts.get(name, 0)) for name, d in w.hookpoints.items())
    of_one = max(sum(codes_size(w.rows, sae) for sae in w.at(name)) for name in w.hookpoints)
    single = {"saes": saved, "activations": rows - one * dtype, "codes": costs["codes"].disk - of_one}
    return everything, evicted, in_dtype, Layout("and one hookpoint at a time", *peaks(costs, single))


def peaks(costs: Mapping[str, Cost], saved: Mapping[str, float] | None = None) -> tuple[float, float]:
    """Bytes when the stage that needs most beside what is kept runs; the same without reflinks.

    Args:
        saved: of what each stage leaves, the bytes that a leaner way does without.
    """
    saved = saved or {}
    kept = {name: cost.disk - saved.get(name, 0.0) for name, cost in costs.items()}
    scratch = {name: cost.scratch for name, cost in costs.items()}
    scratch["activations"] -= saved.get("activations", 0.0)
    peak = sum(kept.values()) + max(scratch.values())
    if costs["saes"].download:
        kept["saes"] = 0.0  # published SAEs stay in the hub's cache
    return peak, peak + sum(kept.values()) + sum(kept[name] for name in STORED_UNITS)
