"""How much disk a workload takes at its peak: with every published SAE kept, and with a bound on them."""

import math
from collections.abc import Mapping
from dataclasses import dataclass

from darkmatter.costs.cost import Cost
from darkmatter.costs.workload import Workload

STORED_UNITS = ("saes", "codes", "decomposition", "error_saes")
BUDGET = 0.2e12  # bytes that a profile of the paper should take at most
GB = 1e9


@dataclass(frozen=True)
class Layout:
    """One choice of which downloads are kept, and the disk that it takes.

    Attributes:
        peak: bytes at the fullest moment, where files can share their blocks (reflinks: XFS, btrfs, APFS).
        copied: where they cannot (ext4): DVC's cache holds a second copy of outputs, and stored units a third of
            theirs.
        again: bytes that are downloaded again, for SAEs that had to make room.
    """

    name: str
    peak: float
    copied: float
    again: float = 0.0


def layouts(w: Workload, costs: Mapping[str, Cost]) -> tuple[Layout, ...]:
    """Everything kept; the least that DARKMATTER_SAE_CACHE_GB can allow; and the model's files of the hub removed once
    the stage `model` has its copy. Without published SAEs only the first.
    """
    sizes = [sae.file_size for sae in w.saes if sae.published]
    model = 0.0 if costs["model"].scratch else costs["model"].download
    everything = Layout("every file kept", *peaks(costs, sum(sizes) + model))
    if not sizes:
        return (everything,)
    bound = bound_gb(w)
    saes = min(bound * GB, sum(sizes))
    again = sum(cost.read for cost in costs.values()) if saes < sum(sizes) else 0.0
    bounded = Layout(f"DARKMATTER_SAE_CACHE_GB={bound}", *peaks(costs, saes + model), again)
    return everything, bounded, Layout("and the model removed from the hub's cache", *peaks(costs, saes), again)


def bound_gb(w: Workload) -> int:
    """The largest SAE in gigabytes: less would not be kept to."""
    return math.ceil(max(sae.file_size for sae in w.saes if sae.published) / GB)


def peaks(costs: Mapping[str, Cost], hub: float) -> tuple[float, float]:
    """Bytes when the stage that needs most beside what is kept runs; the same without reflinks.

    Args:
        hub: bytes in the hub's cache, whose files have no second copy anywhere.
    """
    kept = {name: cost.disk for name, cost in costs.items()}
    peak = hub + sum(kept.values()) + max(cost.scratch for cost in costs.values())
    return peak, peak + sum(kept.values()) + sum(kept[name] for name in STORED_UNITS)
