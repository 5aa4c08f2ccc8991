"""Fig. 15: noise planted on a reconstruction taken as ground truth, and what the decomposition says of it.

Top: FVU and FVU_nonlinear against the share of latents ablated, with one of both noises at a time. Bottom: the
estimates of Dense and Introduced at no ablation against the variance planted, for every amount of the other noise. On
the right the top's question for SAEs of every width: how much of what ablation adds to FVU is nonlinear?
"""

from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from darkmatter.figures.style import DOUBLE, Style, legend, log2_axis, points_with_intervals
from darkmatter.params.schema import Params
from darkmatter.results.load import Results

TITLE = "Noise planted on a ground truth"
CAPTION = (
    "x' = Sae(x) is taken as the truth and passes through the SAE again. Top: FVU (solid), its level at no ablation "
    "(dotted) and FVU_nonlinear (dashed, hollow) against the share of latents ablated, with noise on x' alone (left) "
    "and on its reconstruction alone (right). Bottom: what the decomposition estimates at no ablation against the "
    "variance planted, one line for each amount of the other noise. The SAE encodes x' without the noise."
)
PAPER = "Fig. 15, appendices B.2 and C.3"

SIDES = {"noise_x": ("noise_sae", "noise on x'"), "noise_sae": ("noise_x", "noise on Sae(x')")}
FLAT = 0.1  # how far from 0 the claims call it flat
ESTIMATES = {"noise_x": ("dense", "estimated Dense"), "noise_sae": ("fvu_nonlinear", "estimated Introduced")}


def data(results: Results, params: Params) -> dict[str, Any]:
    result = results.experiment("synthetic_noise")
    rows = result["cells"][0]["fvu"]["rows"]
    return {
        "note": f"x' = Sae(x) of {result['sae']} at {result['hookpoint']}; {rows:,} held-out of {result['rows']:,} "
        f"tokens, token split; means over {len(result['seeds'])} seeds, each with noise and contexts of its own, with "
        f"{100 * result['level']:g} % t intervals over them. Noise in units of the SAE's root mean square error per "
        f"dimension, {result['unit']:.3g}: a variance of 1 is as much as the SAE's error. Right: of all that ablation "
        "adds to FVU, over all noise settings, the share that is nonlinear; planted Dense and Introduced do not "
        "change, so a line as flat as Fig. 1's is at 0, and what is above it is absent features that a linear map does "
        "not find.",
        "ablated_latents": result["ablated"],
        "cells": result["cells"],
        "by_width": result["by_width"],
        "flatness_slope": result["flatness_slope"],
    }


def draw(data: dict[str, Any], style: Style) -> Figure:
    figure = style.figure(DOUBLE, 5.4)
    axes = figure.subplots(2, 3, width_ratios=(1.2, 1.2, 1))
    for row in axes:
        row[1].sharey(row[0])
        row[1].tick_params(labelleft=False)
    draw_widths(axes[0, 2], data["by_width"])
    for column, side in enumerate(SIDES):
        draw_ablation(axes[0, column], data["cells"], side, style)
        draw_estimate(axes[1, column], data["cells"], side, style)
    for row, headroom in zip(axes, (0.3, 0.15), strict=True):
        low, high = row[0].get_ylim()
        row[0].set_ylim(min(low, 0.0), high + headroom * (high - low))  # for the legends
    axes[0, 0].set_ylabel("fraction of variance unexplained")
    axes[1, 0].set_ylabel("share of variance")
    kinds = (("FVU", "-", "o", "0.3"), ("FVU_nonlinear", "--", "o", "white"), ("asymptote of FVU", ":", "", "0.3"))
    handles = [
        Line2D([], [], color="0.3", linestyle=line, marker=marker, mfc=face, label=text)
        for text, line, marker, face in kinds
    ]
    axes[1, 2].set_axis_off()
    axes[1, 2].legend(handles=handles, loc="center")
    return figure


def draw_widths(axes: Axes, by_width: list[dict[str, Any]]) -> None:
    """Flatness of each SAE; two of one width are two marks."""
    widths = [row["latents_per_dimension"] for row in by_width]
    flatness = [row["flatness"] for row in by_width]
    points_with_intervals(axes, list(np.log2(widths)), flatness, color="0.3", marker="o", linestyle="none")
    axes.axhspan(-FLAT, FLAT, color="0.9", zorder=0)
    log2_axis(axes, "x", [round(width, 1) for width in widths], "latents per dimension")
    axes.set_ylabel("nonlinear share of what ablation adds")
    axes.set_title("every width")


def levels(cells: list[dict[str, Any]], side: str) -> list[float]:
    return sorted({cell[side] for cell in cells})


def draw_ablation(axes: Axes, cells: list[dict[str, Any]], side: str, style: Style) -> None:
    """FVU solid with its asymptote, the level at no ablation, as a dotted line; FVU_nonlinear dashed."""
    other, name = SIDES[side]
    amounts = levels(cells, side)
    for amount, (colour, marker, _) in zip(amounts, style.series(len(amounts)), strict=True):
        chosen = [cell for cell in cells if cell[side] == amount and cell[other] == 0]
        shares = [100 * cell["ablated"] for cell in chosen]
        look = {"color": colour, "marker": marker}
        points_with_intervals(axes, shares, [cell["fvu"] for cell in chosen], label=f"{amount:g}", **look)
        left = [cell["fvu_nonlinear"] for cell in chosen]
        points_with_intervals(axes, shares, left, linestyle="--", mfc="white", **look)
        if chosen[0]["fvu"]["value"] is not None:
            axes.axhline(chosen[0]["fvu"]["value"], color=colour, linestyle=":", linewidth=0.8, zorder=0)
    axes.set_title(f"{name} alone")
    axes.set_xlabel("latents ablated, least active first (%)")
    legend(axes, title=f"deviation of the {name}", ncols=3, loc="upper left", title_fontsize=style.small)


def draw_estimate(axes: Axes, cells: list[dict[str, Any]], side: str, style: Style) -> None:
    other, name = SIDES[side]
    key, label = ESTIMATES[side]
    amounts = levels(cells, other)
    for amount, (colour, marker, line) in zip(amounts, style.series(len(amounts)), strict=True):
        chosen = [cell for cell in cells if cell[other] == amount and cell["ablated"] == 0]
        variance = [cell[side] ** 2 for cell in chosen]
        look = {"color": colour, "marker": marker, "linestyle": line, "label": f"{amount:g}"}
        points_with_intervals(axes, variance, [cell[key] for cell in chosen], **look)
    axes.set_title(f"{label}, no ablation")
    axes.set_xlabel(f"variance of the {name}")
    legend(axes, title=f"deviation of the {SIDES[other][1]}", ncols=3, loc="upper left", title_fontsize=style.small)
