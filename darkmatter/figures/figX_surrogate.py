"""The offline surrogate in the place of Fig. 7's judge: a linear classifier on token n-grams, no language model."""
# ruff: noqa: N999 - named after its output, as every figure

from typing import Any

from darkmatter.figures.judged import JUDGED_CAPTION, PARTS, SURROGATE, draw_judged, judged_data
from darkmatter.figures.words import decimals
from darkmatter.params.schema import Params
from darkmatter.results.load import NotDrawn, Results

TITLE = "The surrogate for a judge"
CAPTION = (
    f"{JUDGED_CAPTION} No language model took part: a linear classifier on token n-grams stands in, and its level says "
    "nothing about the paper's Fig. 7."
)
PAPER = "ours"


def data(results: Results, params: Params) -> dict[str, Any]:
    result = judged_data(results, params)
    if result["judge"] != SURROGATE:
        raise NotDrawn(f"{result['judge']} judged the latents, which is Fig. 7; the surrogate did not")
    return {"finding": finding(result), **result}


def finding(data: dict[str, Any]) -> str:
    linear, nonlinear = (decimals(data["parts"][part]["balanced"]["value"]) for part in PARTS)
    return (
        f"The surrogate, no language model, has a balanced accuracy of {linear} on latents of LinearError and "
        f"{nonlinear} on NonlinearError; chance is 0.50"
    )


draw = draw_judged
