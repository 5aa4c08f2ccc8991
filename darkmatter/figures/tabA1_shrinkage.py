"""Table A.1: is the linear error mere shrinkage? ‖Sae(x)‖ beside ‖x‖, and the cosine of LinearError and x.

A table has data and no drawing: the report shows it as HTML.
"""
# ruff: noqa: N999 - named after its output, as every figure

from typing import Any

from darkmatter.params import Params
from darkmatter.results import Results, context_note, estimate

COLUMNS = (("norm_ratio", "mean ‖Sae(x)‖ / mean ‖x‖"), ("cos_linear_x", "cos(LinearError, x)"))


def data(results: Results, params: Params) -> dict[str, Any]:
    hookpoint = params.figures.main_hookpoint
    return {
        "note": context_note(results, hookpoint) if hookpoint in results.decomposition else "",
        "columns": [{"key": key, "label": label} for key, label in COLUMNS],
        "rows": [
            {"name": sae["name"], "d_sae": sae["d_sae"], "k": sae["k"], "l0": sae["l0"]}
            | {key: estimate(sae, key) for key, _ in COLUMNS}
            for sae in results.saes(hookpoint)
        ],
    }
