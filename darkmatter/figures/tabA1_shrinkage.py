"""Table A.1: is the linear error mere shrinkage? ‖Sae(x)‖ beside ‖x‖, and the cosine of LinearError and x.

A table has data and no drawing: the report shows it as HTML.
"""
# ruff: noqa: N999 - named after its output, as every figure

from typing import Any

from darkmatter.figures.paper import COSINE, SHRINKAGE
from darkmatter.figures.words import context_note, percent, percent_span, span, values_of
from darkmatter.params.schema import Params
from darkmatter.results.load import Results, estimate

TITLE = "Shrinkage and the linear error"
CAPTION = (
    "Ratio of mean norms (1: no shrinkage) and mean cosine of LinearError with the activation (±1: LinearError only "
    "rescales x). Intervals are over contexts, at fixed SAEs. The paper prints a shrinkage of about 10 % and a cosine "
    "of around 0.5."
)
PAPER = "Appendix A.1"

FACTS = (("name", "SAE"), ("d_sae", "latents"), ("k", "k"), ("l0", "L0"))
ESTIMATES = (("norm_ratio", "mean ‖Sae(x)‖ / mean ‖x‖"), ("cos_linear_x", "cos(LinearError, x)"))


def data(results: Results, params: Params) -> dict[str, Any]:
    hookpoint = params.figures.main_hookpoint
    saes = results.saes(hookpoint)
    return {
        "finding": finding(saes),
        "note": context_note(results, hookpoint, params) if hookpoint in results.decomposition else "",
        "columns": [{"key": key, "label": label} for key, label in (*FACTS, *ESTIMATES)],
        "rows": [
            {key: sae[key] for key, _ in FACTS} | {key: estimate(sae, key) for key, _ in ESTIMATES} for sae in saes
        ],
    }


def finding(saes: list[dict[str, Any]]) -> str:
    ratios, cosines = (values_of(estimate(sae, key) for sae in saes) for key, _ in ESTIMATES)
    return (
        f"‖Sae(x)‖ is {percent_span(ratios)} of ‖x‖ (the paper: about {percent(1 - SHRINKAGE.low)}); the cosine "
        f"of LinearError and x is {span(cosines)} (about {COSINE.low:g})"
    )
