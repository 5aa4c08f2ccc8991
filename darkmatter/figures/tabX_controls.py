"""Table of the controls: regressions and fits whose answer is known, what was found, and whether it holds.

A table has data and no drawing: the report shows it as HTML.
"""
# ruff: noqa: N999 - named after its output, as every figure

from typing import Any

from darkmatter.params.conventions import PRIMARY
from darkmatter.params.schema import Params
from darkmatter.results.load import Results

TITLE = "Controls: does the method find what is known?"
CAPTION = (
    "Found is the share of the target that is linear: held-out R² with what the fit itself costs given back, 1 − (1 "
    "− R²)/(1 + h) with h the mean leverage of the held-out rows, where that share is known exactly; plain held-out "
    "R² in the other rows, where the cost of fitting makes a null slightly negative. Weights: of sparse orthogonal "
    "features. Other rows: each row gets the error of a random other one. SaeError's norm in random directions is as "
    "predictable as SaeError's own: the norm test says nothing about directions. And with exponential weights linear "
    "features fail the norm test, too."
)
PAPER = "ours"

COLUMNS = {
    "control": "control",
    "expected": "known",
    "found": "found (token split)",
    "holds": "holds",
    "r2": "held-out R² (token split)",
    "found_context": "found (context split)",
    "holds_context": "holds",
}


def data(results: Results, params: Params) -> dict[str, Any]:
    result = results.experiment("controls")
    rows = []
    for control in result["controls"]:
        primary, other = control[PRIMARY[0]], control["context"]
        rows.append(
            {
                "control": control["control"],
                "expected": control["expected"],
                "found": primary["found"],
                "holds": primary["holds"],
                "r2": primary["r2"],
                "found_context": other["found"],
                "holds_context": other["holds"],
            }
        )
    level = 100 * result["simultaneous"]
    all_rows = [*rows, starts_row(result["power_law_starts"])]
    return {
        "finding": finding(all_rows),
        "note": f"{result['hookpoint']}, {result['sae']}, {result['contexts']} contexts of {result['positions']} "
        f"tokens; the {result['checks']} intervals of a split hold together at {level:g} %, over contexts.",
        "columns": [{"key": key, "label": label} for key, label in COLUMNS.items()],
        "rows": all_rows,
    }


def finding(rows: list[dict[str, Any]]) -> str:
    holding = sum(row["holds"] is True for row in rows)
    return f"{holding} of {len(rows)} controls find what is known"


def starts_row(starts: dict[str, Any]) -> dict[str, Any]:
    if starts["agreeing"] is None:
        text = f"undefined: {starts['reason']}"
    else:
        text = f"{starts['agreeing']:,} of {starts['starts']:,} at the best fit, {starts['flat']:,} flat"
    row = dict.fromkeys(COLUMNS) | {"found": text, "holds": starts["holds"]}
    return row | {"control": "power law of Fig. 1 from random starts", "expected": "one optimum, not flat"}
