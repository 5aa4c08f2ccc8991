"""Fig. 12: squared norms of the linear and the nonlinear error on the tokens of Fig. 5, and their means by width."""

from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from darkmatter.figures.style import COMPONENTS, DOUBLE, Style, legend, log2_axis
from darkmatter.figures.token_norms import draw_series, token_data
from darkmatter.params.schema import Params
from darkmatter.results.load import Results

TITLE = "Linear and nonlinear error token by token"
CAPTION = (
    "Squared norms of both parts of the error on the tokens of Fig. 5, one line per width, both on one scale; right: "
    "their means over all tokens against width."
)
PAPER = "Fig. 12, appendix A.4"

PARTS = ("linear", "nonlinear")


def data(results: Results, params: Params) -> dict[str, Any]:
    return token_data(results, tuple(f"{part}_sq" for part in PARTS))


def draw(data: dict[str, Any], style: Style) -> Figure:
    figure = style.figure(DOUBLE, 3.6)
    panels = figure.subplot_mosaic([["linear", "mean"], ["nonlinear", "mean"]], width_ratios=(2.3, 1))
    for part in PARTS:
        axes = panels[part]
        draw_series(axes, data, f"{part}_sq", style)
        axes.set_ylabel(f"‖{COMPONENTS[part].label}‖²")
    panels["linear"].sharex(panels["nonlinear"])
    panels["linear"].tick_params(labelbottom=False)
    panels["nonlinear"].set_xlabel("position of the token in its context")
    same_scale(panels["linear"], panels["nonlinear"])
    draw_means(panels["mean"], data)
    handles, labels = panels["linear"].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside upper center", ncols=max(len(labels), 1), title="width")
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
            axes.plot(np.log2(x), y, color=look.colour, marker=look.marker, linestyle=look.line, label=look.label)
    log2_axis(axes, "x", [sae["d_sae"] for sae in data["saes"]], "width d_sae")
    axes.set_ylim(0, 1.05 * axes.get_ylim()[1])
    axes.set_title("mean over all tokens")
    legend(axes, loc="lower left")
