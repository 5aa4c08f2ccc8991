"""What the default profile took from nothing, by the receipts of the committed run: its stages, its largest process."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from darkmatter.experiments.registry import records
from darkmatter.runner.arithmetic import BFLOAT16, FLOAT32
from darkmatter.storage.artifacts import read_json
from darkmatter.storage.paths import reports_of
from tests.benches.graph import PROFILE

MOST_MINUTES = {FLOAT32: 24.0, BFLOAT16: 15.0}  # by the products of passes and training
MOST_GIGABYTES = 4.0

Receipt = dict[str, Any]


def whole_run() -> list[dict[str, Any]]:
    """Lines of the page."""
    receipts = read_receipts(reports_of(PROFILE).receipts)
    ours = {name for name, record in records().items() if record.section == "ours"}
    papers = [one for one in receipts if one["stage"] not in ours]
    largest = max(receipts, key=lambda one: one["peak_memory_bytes"])
    goal = MOST_MINUTES[largest["machine"]["arithmetic"]]
    return [
        line("all stages", receipts, minutes(receipts), "min", None),
        line("the paper's experiments and what they need", papers, minutes(papers), "min", goal),
        line(
            f"largest process: {largest['stage']}", receipts, largest["peak_memory_bytes"] / 1e9, "GB", MOST_GIGABYTES
        ),
    ]


def read_receipts(folder: Path) -> list[Receipt]:
    return [read_json(path) for path in sorted(folder.glob("*.json"))]


def minutes(receipts: Sequence[Receipt]) -> float:
    return sum(one["seconds"] for one in receipts) / 60


def line(what: str, receipts: Sequence[Receipt], amount: float, unit: str, goal: float | None) -> dict[str, Any]:
    """Units that were found stored make a run shorter than it is, so that it reaches no goal."""
    found = sum(len(one["units"]["reused"]) for one in receipts)
    reached = goal is None or (amount <= goal and not found)
    return {
        "what": what,
        "stages": len(receipts),
        "found": found,
        "amount": amount,
        "unit": unit,
        "goal": goal,
        "reached": reached,
    }
