"""What the default profile took from nothing, by the receipts of the committed run: its stages, its largest process."""

from pathlib import Path
from typing import Any

from darkmatter.audit.receipts import Receipts, read_receipts
from darkmatter.experiments.registry import records
from darkmatter.report.summary import total_seconds
from darkmatter.runner.arithmetic import BFLOAT16, FLOAT32
from tests.benches.graph import PROFILE

MOST_MINUTES = {FLOAT32: 24.0, BFLOAT16: 15.0}  # by the products of passes and training
MOST_GIGABYTES = 4.0


def whole_run() -> list[dict[str, Any]]:
    """Lines of the page."""
    receipts = read_receipts(Path(), PROFILE)
    ours = {name for name, record in records().items() if record.section == "ours"}
    papers = {stage: receipt for stage, receipt in receipts.items() if stage not in ours}
    peaks = {stage: receipt["peak_memory_bytes"] for stage, receipt in receipts.items()}
    largest = max(peaks, key=peaks.__getitem__)
    goal = MOST_MINUTES[receipts[largest]["machine"]["arithmetic"]]
    return [
        line("all stages", receipts, total_seconds(receipts) / 60, "min", None),
        line("the paper's experiments and what they need", papers, total_seconds(papers) / 60, "min", goal),
        line(f"largest process: {largest}", receipts, peaks[largest] / 1e9, "GB", MOST_GIGABYTES),
    ]


def line(what: str, receipts: Receipts, amount: float, unit: str, goal: float | None) -> dict[str, Any]:
    """Units that were found stored make a run shorter than it is, so that it reaches no goal."""
    found = sum(len(one["units"]["reused"]) for one in receipts.values())
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
