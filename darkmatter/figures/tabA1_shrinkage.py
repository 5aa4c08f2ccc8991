"""Table A.1: is the linear error mere shrinkage? ‖Sae(x)‖ beside ‖x‖, and the cosine of LinearError and x.

A table has data and no drawing: the report shows it as HTML.
"""
# ruff: noqa: N999 - named after its output, as every figure

from typing import Any

from darkmatter.params.schema import Params
from darkmatter.results.load import Results, context_note, estimate

TITLE = "Shrinkage and the linear error"
CAPTION = (
    "Ratio of mean norms (1: no shrinkage) and mean cosine of LinearError with the activation (±1: LinearError only "
    "rescales x)."
)
PAPER = "Appendix A.1"

FACTS = (("name", "SAE"), ("d_sae", "latents"), ("k", "k"), ("l0", "L0"))
ESTIMATES = (("norm_ratio", "mean ‖Sae(x)‖ / mean ‖x‖"), ("cos_linear_x", "cos(LinearError, x)"))


def data(results: Results, params: Params) -> dict[str, Any]:
    hookpoint = params.figures.main_hookpoint
    return {
        "note": context_note(results, hookpoint) if hookpoint in results.decomposition else "",
        "columns": [{"key": key, "label": label} for key, label in (*FACTS, *ESTIMATES)],
        "rows": [
            {key: sae[key] for key, _ in FACTS} | {key: estimate(sae, key) for key, _ in ESTIMATES}
            for sae in results.saes(hookpoint)
        ],
    }
