"""A comparison of two runs as a small file that is kept: reports/compared/NAME.json, a column of docs/compared.md."""

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from darkmatter.audit.reproduction import NumberPair, Reproduction, facts, outcome
from darkmatter.audit.runs import Run
from darkmatter.report.compared import COMPARED
from darkmatter.storage.artifacts import write_json

NAME = re.compile(r"[a-z0-9][a-z0-9.-]*")
OF_MACHINE = ("cpu", "arithmetic", "cores", "platform", "python", "numpy", "torch")

Content = dict[str, Any]


class BadNameError(ValueError):
    """A name that would be no name of a file: a wrong argument."""


def keep(result: Reproduction, name: str) -> Path:
    """Write the file of this name.

    Raises:
        BadNameError: it is no name of a file.
    """
    if not NAME.fullmatch(name):
        raise BadNameError(f"--keep {name!r}: a name has a-z, 0-9, - and . alone, such as intel-xeon-amx")
    target = COMPARED / f"{name}.json"
    write_json(target, kept(result))
    return target


def kept(result: Reproduction) -> Content:
    """Both runs, and of each claim its outcome in both and how far its numbers moved."""
    pairs: dict[str, list[NumberPair]] = {}
    for pair in result.pairs:
        pairs.setdefault(pair.claim, []).append(pair)
    rows, others = result.here.judged, result.there.judged
    changed = {name: [one for one in result.changed if one.claim == name] for name in {**others, **rows}}
    return {
        "profile": result.here.profile,
        "here": described(result.here),
        "there": described(result.there),
        "parameters": {name: list(both) for name, both in result.parameters.items()},
        "numbers": {"both": len(result.pairs), "equal": result.equal, "disjoint": len(result.disjoint)},
        "claims": [
            {
                "id": name,
                "there": outcome(others.get(name)),
                "here": outcome(rows.get(name)),
                "changed": [one.component for one in changed[name] if one.component],
                "other_rule": any(one.other_rule for one in changed[name]),
                **moved(pairs.get(name, [])),
            }
            for name in dict.fromkeys([*others, *rows])
        ],
    }


def moved(pairs: Sequence[NumberPair]) -> Content:
    """How many numbers of a claim both runs have, how many of their intervals lie apart, and the largest shift, as it
    is and in each unit; null where it is not known.
    """
    seeds = [pair.in_spreads for pair in pairs if pair.in_spreads is not None]
    widths = [pair.in_half_widths for pair in pairs if pair.in_half_widths is not None]
    return {
        "numbers": len(pairs),
        "equal": sum(pair.shift == 0 for pair in pairs),
        "disjoint": sum(pair.disjoint for pair in pairs),
        "largest": max((abs(pair.shift) for pair in pairs), default=None),
        "in_seed_spreads": max(seeds, default=None),
        "in_half_widths": max(widths, default=None),
    }


def described(run: Run) -> Content:
    """Where and from what a run was made, by its receipts; what was found stored was made by an earlier run."""
    said = facts(run)
    units = [receipt["units"] for receipt in run.receipts.values()]
    return {
        "machine": {name: said[name] for name in OF_MACHINE if name in said},
        "revisions": sorted({receipt["revision"] or "" for receipt in run.receipts.values()}),
        "date": max((receipt["started"][:10] for receipt in run.receipts.values()), default=None),
        "units": {kind: sum(len(one[kind]) for one in units) for kind in ("computed", "reused")},
    }
