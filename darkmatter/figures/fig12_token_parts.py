"""Fig. 12: squared norms of the linear and the nonlinear error on the tokens of Fig. 5, and their means by width."""

from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from darkmatter.figures.style import COMPONENTS, MUTED, Style, legend, log2_axis
from darkmatter.figures.token_norms import draw_run, ends, name_tokens, token_data
from darkmatter.figures.words import changes
from darkmatter.params.schema import Params
from darkmatter.results.load import Results

TITLE = "Linear and nonlinear error token by token"
CAPTION = (
    "Squared norms of both parts of the error on the first tokens of Fig. 5, whose text stands below, both on one "
    "scale: hollow at the narrowest SAE, filled at the widest. Right: their means over all tokens at every width. One "
    "context, so there is no interval; the claim's slopes have one over contexts and SAEs. The paper prints no value "
    "of its Fig. 12: linear error falls with width, nonlinear error “mostly stays constant”."
)
PAPER = "Fig. 12, appendix A.4"

PARTS = ("linear", "nonlinear")
SHOWN = slice(0, 40)


def data(results: Results, params: Params) -> dict[str, Any]:
    result = token_data(results, tuple(f"{part}_sq" for part in PARTS))
    return {"finding": finding(result), **result}


def finding(data: dict[str, Any]) -> str:
    saes = ends(data)
    if len(saes) < 2:
        return f"Both parts of the error of {saes[0]['d_sae']:,} latents, token by token"
    parts = [(f"mean ‖{COMPONENTS[part].label}‖²", *(sae[f"mean_{part}_sq"] for sae in saes)) for part in PARTS]
    return f"From {saes[0]['d_sae']:,} to {saes[-1]['d_sae']:,} latents {changes(*parts)}"


def draw(data: dict[str, Any], style: Style) -> Figure:
    figure = style.figure(4.3)
    panels = figure.subplot_mosaic([["linear", "mean"], ["nonlinear", "mean"]], width_ratios=(2.7, 1))
    for part in PARTS:
        look = COMPONENTS[part]
        draw_run(panels[part], data, f"{part}_sq", SHOWN, look)
        panels[part].set_title(look.label, color=look.colour)
        panels[part].set_ylabel("squared norm")
    panels["linear"].set_xticks([])
    name_tokens(panels["nonlinear"], data, SHOWN, style)
    same_scale(panels["linear"], panels["nonlinear"])
    draw_means(panels["mean"], data)
    points = [Line2D([], [], color=MUTED, marker="o", mfc=face, linestyle="none") for face in ("white", MUTED)]
    widths = [f"{sae['d_sae']:,} latents" for sae in ends(data)]
    figure.legend(points[-len(widths) :], widths, loc="outside lower left", ncols=2)
    return figure


def same_scale(first: Axes, second: Axes) -> None:
    """One range for both parts, or their sizes cannot be compared."""
    limits = [*first.get_ylim(), *second.get_ylim()]
    for axes in (first, second):
        axes.set_ylim(min(limits), max(limits))


def draw_means(axes: Axes, data: dict[str, Any]) -> None:
    for part in PARTS:
        look = COMPONENTS[part]
        points = [(sae["d_sae"], sae[f"mean_{part}_sq"]) for sae in data["saes"] if sae[f"mean_{part}_sq"] is not None]
        if points:
            x, y = zip(*points, strict=True)
            axes.plot(np.log2(x), y, color=look.colour, marker=look.marker, label=look.label)
    log2_axis(axes, "x", [sae["d_sae"] for sae in data["saes"]], "width d_sae")
    axes.set_ylim(0, 1.05 * axes.get_ylim()[1])
    axes.set_title("mean over all tokens")
    legend(axes, loc="lower left")
