"""Fig. 15: noise planted on a reconstruction taken as ground truth, and what the decomposition says of it.

Top: FVU and FVU_nonlinear against the share of latents ablated, with one of both noises at a time. Bottom: the
estimates of Dense and Introduced at no ablation against the variance planted, for every amount of the other noise; and
the top's question for SAEs of every width: how much of what ablation adds to FVU is nonlinear?
"""

from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from darkmatter.figures.paper import CORRELATIONS
from darkmatter.figures.style import BAND, INK, MUTED, Style, log2_axis, points_with_intervals
from darkmatter.figures.words import decimals, percent
from darkmatter.params.schema import Params
from darkmatter.results.load import Results

TITLE = "Noise planted on a ground truth"
CAPTION = (
    "x' = Sae(x) is taken as the truth and passes through the SAE again. Top: FVU (solid), its level at no ablation "
    "(dotted) and FVU_nonlinear (dashed, hollow) against the share of latents ablated, with noise on x' alone (left) "
    "and on its reconstruction alone (right). Bottom: what the decomposition estimates at no ablation against the "
    "variance planted, one line for each amount of the other noise, with Table 1's correlation and in grey the "
    "paper's; and for SAEs of every width the share of what ablation adds to FVU that is nonlinear, where grey is what "
    "counts as the horizontal line that the paper reports. The SAE encodes x' without the noise. Intervals are over "
    "seeds, each with noise and contexts of its own, at fixed SAEs."
)
PAPER = "Fig. 15, appendices B.2 and C.3"

SIDES = {"noise_x": ("noise_sae", "noise on x'"), "noise_sae": ("noise_x", "noise on Sae(x')")}
FLAT = 0.1  # how far from 0 the claims call it flat
ESTIMATES = {"noise_x": ("dense", "estimated Dense"), "noise_sae": ("fvu_nonlinear", "estimated Introduced")}
TABLE = {"noise_x": ("x", "dense"), "noise_sae": ("sae", "introduced")}
LAYOUT = ["ablate noise_x"] * 3 + ["ablate noise_sae"] * 3, ["noise_x"] * 2 + ["noise_sae"] * 2 + ["widths"] * 2


def data(results: Results, params: Params) -> dict[str, Any]:
    result = results.experiment("synthetic_noise")
    rows = result["cells"][0]["fvu"]["rows"]
    found = result["estimands"]
    return {
        "finding": finding(found),
        "note": f"x' = Sae(x) of {result['sae']} at {result['hookpoint']}; {rows:,} held-out of {result['rows']:,} "
        f"tokens, token split; means over {len(result['seeds'])} seeds, each with noise and contexts of its own; "
        f"{100 * result['level']:g} % t intervals over them. Noise in units of the SAE's root mean square error "
        f"per dimension, {result['unit']:.3g}: a variance of 1 is as much as the SAE's error. Bottom right: of what "
        "ablation adds to FVU, over all noise settings, the share that is nonlinear; planted Dense and Introduced "
        "do not change, so a line as flat as Fig. 1's is at 0, and what is above it is absent features that a linear "
        "map does not find.",
        "ablated_latents": result["ablated"],
        "cells": result["cells"],
        "by_width": result["by_width"],
        "flatness_slope": result["flatness_slope"],
        "correlations": found["synthetic_correlations"],
    }


def finding(found: dict[str, Any]) -> str:
    correlations, flatness = found["synthetic_correlations"], found["synthetic_line_fits"]["flatness"]["value"]
    pairs = [
        f"of {SIDES[side][1]} with {ESTIMATES[side][1]}: {decimals(correlations[f'{noise}_{part}']['value'])} "
        f"(paper {decimals(CORRELATIONS[noise][part])})"
        for side, (noise, part) in TABLE.items()
    ]
    return f"Correlation {', '.join(pairs)}; {percent(flatness)} of what ablation adds to FVU is nonlinear"


def draw(data: dict[str, Any], style: Style) -> Figure:
    figure = style.figure(5.6)
    axes = figure.subplot_mosaic([list(row) for row in LAYOUT])
    for side in SIDES:
        draw_ablation(axes[f"ablate {side}"], data["cells"], side, style)
        draw_estimate(axes[side], data, side, style)
    draw_widths(axes["widths"], data["by_width"])
    for left, right in ((axes["ablate noise_x"], axes["ablate noise_sae"]), (axes["noise_x"], axes["noise_sae"])):
        limits = [*left.get_ylim(), *right.get_ylim(), 0.0]
        for panel in (left, right):
            panel.set_ylim(min(limits), max(limits))
        right.tick_params(labelleft=False)
    axes["ablate noise_x"].set_ylabel("fraction of variance\nunexplained")
    axes["noise_x"].set_ylabel("share of variance")
    amounts = levels(data["cells"], "noise_x")
    shades = [
        Line2D([], [], color=colour, marker=marker, label=f"{amount:g}")
        for amount, (colour, marker) in zip(amounts, style.series(len(amounts)), strict=True)
    ]
    kinds = (("FVU", "-", "o", MUTED), ("FVU_nonlinear", "--", "o", "white"), ("FVU at no ablation", ":", "", MUTED))
    lines = [
        Line2D([], [], color=MUTED, linestyle=line, marker=marker, mfc=face, label=text)
        for text, line, marker, face in kinds
    ]
    figure.legend(handles=lines, loc="outside lower left", ncols=1)
    title = "deviation of the noise (bottom: of the other one)"
    figure.legend(handles=shades, loc="outside lower right", ncols=len(shades), title=title)
    return figure


def draw_widths(axes: Axes, by_width: list[dict[str, Any]]) -> None:
    """Flatness of each SAE; two of one width are two marks."""
    widths = [row["latents_per_dimension"] for row in by_width]
    flatness = [row["flatness"] for row in by_width]
    points_with_intervals(axes, list(np.log2(widths)), flatness, color=INK, marker="o", linestyle="none")
    axes.axhspan(-FLAT, FLAT, color=BAND, linewidth=0, zorder=0)
    axes.text(0.98, 0.0, "paper: flat", transform=axes.get_yaxis_transform(), color=MUTED, ha="right", va="center")
    log2_axis(axes, "x", [round(width, 1) for width in widths], "latents per dimension")
    axes.set_title("nonlinear share of what\nablation adds, every width")


def levels(cells: list[dict[str, Any]], side: str) -> list[float]:
    return sorted({cell[side] for cell in cells})


def draw_ablation(axes: Axes, cells: list[dict[str, Any]], side: str, style: Style) -> None:
    """FVU solid with its asymptote, the level at no ablation, as a dotted line; FVU_nonlinear dashed."""
    other, name = SIDES[side]
    amounts = levels(cells, side)
    for amount, (colour, marker) in zip(amounts, style.series(len(amounts)), strict=True):
        chosen = [cell for cell in cells if cell[side] == amount and cell[other] == 0]
        shares = [100 * cell["ablated"] for cell in chosen]
        look = {"color": colour, "marker": marker}
        points_with_intervals(axes, shares, [cell["fvu"] for cell in chosen], **look)
        left = [cell["fvu_nonlinear"] for cell in chosen]
        points_with_intervals(axes, shares, left, linestyle="--", mfc="white", **look)
        if chosen[0]["fvu"]["value"] is not None:
            axes.axhline(chosen[0]["fvu"]["value"], color=colour, linestyle=":", linewidth=0.8, zorder=0)
    axes.set_title(f"{name} alone")
    axes.set_xlabel("latents ablated, least active first (%)")


def draw_estimate(axes: Axes, data: dict[str, Any], side: str, style: Style) -> None:
    other, name = SIDES[side]
    key, label = ESTIMATES[side]
    noise, part = TABLE[side]
    amounts = levels(data["cells"], other)
    for amount, (colour, marker) in zip(amounts, style.series(len(amounts)), strict=True):
        chosen = [cell for cell in data["cells"] if cell[other] == amount and cell["ablated"] == 0]
        variance = [cell[side] ** 2 for cell in chosen]
        points_with_intervals(axes, variance, [cell[key] for cell in chosen], color=colour, marker=marker)
    axes.set_title(f"{label},\nno ablation")
    axes.set_xlabel(f"variance of the {name}")
    own = decimals(data["correlations"][f"{noise}_{part}"]["value"])
    for line, (text, colour) in enumerate(((f"r = {own}", INK), (f"paper {CORRELATIONS[noise][part]:.2f}", MUTED))):
        place = {"xytext": (4, -10 - 12 * line), "textcoords": "offset points"}
        axes.annotate(text, (0, 1), xycoords="axes fraction", color=colour, fontsize=style.small, **place)
