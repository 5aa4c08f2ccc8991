"""Fig. 4: R² of predicting the larger SAE's per-token squared error norm from the smaller one's (Eq. 13)."""

from typing import Any

from matplotlib.figure import Figure

from darkmatter.figures.pair_panels import at_ratio, draw_lines, draw_matrix
from darkmatter.figures.style import Style
from darkmatter.figures.words import span
from darkmatter.params.schema import Params
from darkmatter.results.load import NotDrawn, Results

TITLE = "Large SAEs' errors from small ones'"
CAPTION = (
    "R² of the larger SAE's squared error norm, token by token, predicted from the smaller one's by one slope and an "
    "intercept. Left: every pair; right: the same values against the ratio of the widths, with intervals over "
    "contexts, at fixed SAEs. The paper prints no value of its Fig. 4: it falls as SAEs get farther apart, and "
    "“overall remains high”."
)
PAPER = "Fig. 4, section 4.4"

VARIANTS = ("paper", "authors", "through_origin")


def data(results: Results, params: Params) -> dict[str, Any]:
    scaling = results.experiment("per_token_scaling")
    if not scaling["pairs"]:
        raise NotDrawn("no pair of SAEs of different width and one k in the groups of per_token_scaling")
    pairs = [
        {key: pair[key] for key in ("sae_1", "sae_2", "d_sae_1", "d_sae_2")}
        | {variant: pair["estimates"]["token"][variant] for variant in VARIANTS}
        for pair in scaling["pairs"]
    ]
    pairs.sort(key=lambda pair: (pair["d_sae_1"], pair["sae_1"], pair["d_sae_2"], pair["sae_2"]))
    return {
        "finding": finding(shown(pairs)),
        "note": f"{scaling['hookpoint']}; squared norms with intercept, token split.",
        "pairs": pairs,
    }


def shown(pairs: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [pair | {"shown": pair["paper"]} for pair in pairs]


def finding(pairs: list[dict[str, Any]]) -> str:
    (near, close), (far, distant) = at_ratio(pairs, min), at_ratio(pairs, max)
    first = f"An SAE's error norms predict those of one {near:.3g} times as wide with R² {span(close)}"
    return first if near == far else f"{first}, of one {far:.3g} times as wide with {span(distant)}"


def draw(data: dict[str, Any], style: Style) -> Figure:
    figure = style.figure(3.3)
    matrix, lines = figure.subplots(1, 2, width_ratios=(1, 1.2))
    pairs = shown(data["pairs"])
    draw_matrix(matrix, pairs, style, fmt=".2f", vmax=1.0)
    matrix.set_title("R² for each pair")
    draw_lines(lines, pairs, style, apart=0.04)
    lines.set_ylabel("R²")
    lines.set_ylim(top=1)
    return figure
