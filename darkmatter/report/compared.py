"""Run × claim: the runs that were compared with another run of their profile (`darkmatter compare --keep NAME`).

    python -m darkmatter.report.compared      # writes docs/compared.md again; a test compares

The report shows the same table of its own profile: `sections/compared.html`.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from darkmatter.report.numbers import digits
from darkmatter.report.outcomes import STALE
from darkmatter.report.summary import VERDICTS
from darkmatter.storage.artifacts import read_json, write_text
from darkmatter.storage.paths import REPORTS

COMPARED = REPORTS / "compared"
PAGE = Path("docs/compared.md")
SMALLEST = 1e-3  # of a unit: shifts below it are of the last digits
PREFACE = """\
# Runs that were compared

Written by `python -m darkmatter.report.compared` from `reports/compared/`; not edited by hand.

Did a run on another machine, of other draws or other positions come to the same outcomes? A column is a run compared
with another run of the same profile; where its parameters were others, the first table has them. Each cell has the
outcome of the claim, or of our prediction, and, where numbers moved, the largest shift: in standard deviations over
training seeds (σ) where that spread is known, and in half widths of the interval (w). σ holds the seed alone, and in
the default profile comes from one pair of SAEs: on other contexts, or where that pair happens to lie close, numbers
move by many σ. A change of outcome stands in bold. Each run was judged by the rules of its day;
[results.md](results.md) has the outcomes by the rules of today. Edition 1 had 54 claims: its 18 `text-…` are
[errata](errata.md) now, and nine claims were added since. Early columns have no predictions. Units that were found
stored were made by an earlier run: what rests on them was not made again.

To add a column, after `make repro` on a machine of another class, or `dvc exp run` with other seeds:

```
darkmatter compare HEAD --keep NAME     # writes reports/compared/NAME.json: commit it
python -m darkmatter.report.compared    # writes this page
```
"""
PREDICTION = "prediction"  # in the place of a verdict
ONE_CLASS = "All of them ran on {}: the table says nothing yet of another class of CPU.\n"

Content = dict[str, Any]


def read_compared(folder: Path = COMPARED, profile: str | None = None) -> dict[str, Content]:
    """Name → content of each kept comparison, or of those of one profile."""
    runs = {path.stem: read_json(path) for path in sorted(folder.glob("*.json"))}
    return {name: run for name, run in runs.items() if profile in (None, run["profile"])}


def judged_rows(claims: Content) -> list[Content]:
    """The rows of claims, and of predictions that were judged, with the same keys.

    Args:
        claims: claims.json; that of an early run has no predictions.
    """
    said = lambda outcome: {"verdict": PREDICTION, "analogue": outcome}  # noqa: E731
    predictions = [row for row in claims.get("predictions", ()) if row.get("outcome")]
    return claims["claims"] + [
        row
        | said(row["outcome"])
        | {"outcomes": {name: said(one) for name, one in row["outcomes"].items()}, "rule_sha256": row["sha256"]}
        for row in predictions
    ]


def compared_content(runs: Mapping[str, Content], now: Sequence[Content] = ()) -> Content:
    """Columns (one for each run, with its facts) and rows (one for each claim) of the table; its one class of CPU.

    Args:
        now: `judged_rows` of this report: the outcomes by the rules of today, shown next to those of the runs.
    """
    outcomes = {row["id"]: outcome_words([row["verdict"], row["analogue"]]) for row in now}
    of_runs = [{row["id"]: row for row in run["claims"]} for run in runs.values()]
    claims = dict.fromkeys(name for rows in of_runs for name in rows)
    return {
        "columns": [column(name, run) for name, run in runs.items()],
        "rows": [
            {"id": name, "now": outcomes.get(name, "absent"), "cells": [cell(rows.get(name)) for rows in of_runs]}
            for name in claims
        ],
        "one_class": one_class(runs),
    }


def column(name: str, run: Content) -> Content:
    """What stands above one run, in words."""
    here, there, numbers = run["here"], run["there"], run["numbers"]
    same = sum(not is_changed(row) for row in run["claims"])
    return {
        "name": name,
        "facts": {
            "machine": machine(here),
            "against": f"{machine(there)}, {there['date']}",
            "profile, date": f"{run['profile']}, {here['date']}",
            "other parameters": parameters(run),
            "units": f"{here['units']['computed']} computed, {here['units']['reused']} found stored",
            "outcomes": f"{same} of {len(run['claims'])} the same",
            "numbers": f"{numbers['equal']} of {numbers['both']} the same to the last bit, "
            f"{numbers['disjoint']} with intervals apart",
        },
    }


def parameters(run: Content) -> str:
    """Those that were others than in the run that it was compared with."""
    if "parameters" not in run:
        return "not kept"
    return "; ".join(f"{name} {text}" for name, (_, text) in run["parameters"].items()) or "none"


def machine(side: Content) -> str:
    """CPU, arithmetic where a receipt says it, and torch."""
    facts = side["machine"]
    words = [*facts.get("cpu", ["unknown CPU"]), *facts.get("arithmetic", [])]
    return ", ".join([*words, *(f"torch {version}" for version in facts.get("torch", []))])


def is_changed(row: Content) -> bool:
    return row["there"] != row["here"] or bool(row["changed"])


def cell(row: Content | None) -> Content | None:
    """One claim of one run; None where neither of its two runs had it."""
    if row is None:
        return None
    there, here = outcome_words(row["there"]), outcome_words(row["here"])
    text = here if row["there"] == row["here"] else f"{there} there, {here} here"
    if row["changed"]:
        text += f"; other outcomes of {', '.join(row['changed'])}"
    if row["other_rule"]:
        text += " (judged by another rule)"
    return {"changed": is_changed(row), "text": text, "shift": shift(row)}


def outcome_words(outcome: list[str] | None) -> str:
    """The analogue's outcome where there is one, else the verdict; or that of a prediction."""
    if outcome is None:
        return "absent"
    verdict, analogue = outcome
    if verdict == PREDICTION:
        return f"prediction {analogue}"
    return VERDICTS.get(verdict, verdict) if analogue == "none" or verdict == STALE else f"analogue {analogue}"


def shift(row: Content) -> str:
    """The largest shift of a claim's numbers; empty where none moved."""
    if row["equal"] == row["numbers"]:
        return ""
    units = ((row["in_seed_spreads"], "σ"), (row["in_half_widths"], "w"))
    known = [f"{digits(size)} {unit}" for size, unit in units if size is not None and size >= SMALLEST]
    return " and ".join(known) or "last digits"


def page(runs: Mapping[str, Content]) -> str:
    """docs/compared.md: the runs, then the table."""
    if not runs:
        return PREFACE
    content = compared_content(runs)
    columns = content["columns"]
    rows = [[f"`{row['id']}`", *map(cell_text, row["cells"])] for row in content["rows"]]
    parts = [
        PREFACE,
        *([ONE_CLASS.format(content["one_class"])] if content["one_class"] else []),
        table(["run", *columns[0]["facts"]], [[one["name"], *one["facts"].values()] for one in columns]),
        table(["claim", *(one["name"] for one in columns)], rows),
    ]
    return "\n".join(parts)


def one_class(runs: Mapping[str, Content]) -> str | None:
    """The machine in words where every run is of one class: the table then says nothing of another."""
    classes = {machine(side) for run in runs.values() for side in (run["here"], run["there"])}
    return classes.pop() if len(classes) == 1 else None


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    return "\n".join("| " + " | ".join(line) + " |" for line in [head, ["---"] * len(head), *rows]) + "\n"


def cell_text(item: Content | None) -> str:
    if item is None:
        return "—"
    text = f"**{item['text']}**" if item["changed"] else item["text"]
    return f"{text}; {item['shift']}" if item["shift"] else text


if __name__ == "__main__":
    write_text(PAGE, page(read_compared()))
    print(PAGE)
