"""Predicted seconds against the receipts of a run."""

import dataclasses
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from darkmatter.costs.workload import Workload
from darkmatter.ledger.other_profiles import read_receipts
from darkmatter.planning.devices import Device, seconds
from darkmatter.planning.graph import parents
from darkmatter.planning.plan import stage_cost
from darkmatter.planning.text import table
from darkmatter.storage.artifacts import ArtifactError
from darkmatter.storage.paths import reports_of

FACTOR = 2.0


@dataclass(frozen=True)
class Compared:
    """The seconds that one stage was predicted to take, beside those that its receipt says it took.

    Attributes:
        measured: None where no receipt says what computing took, and `why` that is so.
    """

    stage: str
    predicted: float
    measured: float | None
    why: str = ""

    @property
    def ratio(self) -> float | None:
        return self.predicted / self.measured if self.measured else None

    @property
    def within(self) -> bool:
        return self.ratio is None or 1 / FACTOR <= self.ratio <= FACTOR


def compare(w: Workload, device: Device, root: Path = Path()) -> list[Compared]:
    """Each stage. Receipts of runs that found units stored say nothing about what computing takes.

    Raises:
        ArtifactError: there are no receipts of this profile.
    """
    folder = root / reports_of(w.name).receipts
    receipts = read_receipts(folder)
    if not receipts:
        raise ArtifactError(f"{folder} holds no receipts to check against. Run `make repro`.")
    results = []
    for stage in parents():
        own = [receipt for name, receipt in receipts.items() if name.partition("@")[0] == stage]
        measured, why = cold_seconds(own)
        here = device
        if own and not device.is_gpu:
            here = dataclasses.replace(device, workers=own[0]["machine"]["workers"])
        results.append(Compared(stage, seconds(stage_cost(stage)(w), here), measured, why))
    return results


def cold_seconds(receipts: list[dict[str, Any]]) -> tuple[float | None, str]:
    if not receipts:
        return None, "no receipt"
    if any(receipt["units"]["reused"] for receipt in receipts):
        return None, "found units stored"
    return sum(receipt["seconds"] for receipt in receipts), ""


def render(compared: list[Compared]) -> str:
    rows = [
        (
            one.stage,
            f"{one.predicted:.0f}",
            one.why if one.measured is None else f"{one.measured:.0f}",
            "" if one.ratio is None else f"{one.ratio:.2f}",
            "" if one.within else f"outside a factor of {FACTOR:g}",
        )
        for one in compared
    ]
    return "\n".join(table(("stage", "predicted s", "receipt s", "ratio", ""), rows))
