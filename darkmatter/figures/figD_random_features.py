"""Appendix D: what the unmasked part of a sum of random vectors and the linear estimate of the rest explain."""
# ruff: noqa: N999 - named after its output, as every figure

from typing import Any

import numpy as np
from matplotlib.figure import Figure

from darkmatter.figures.style import COMPONENTS, MUTED, Style, legend, points_with_intervals
from darkmatter.figures.words import decimals, percent
from darkmatter.params.schema import Params
from darkmatter.results.load import Results

TITLE = "Sums of random vectors, some of them masked"
CAPTION = (
    "Variance explained by the unmasked vectors and the linear estimate of the masked ones together, against the "
    "share masked. A random mask and its complement leave the same residual, so that the curve in random order is "
    "symmetric about one half by construction, up to the draw; masking the least frequent first is not. The order is "
    "our reading: the paper names none. Grey: the paper prints no value; it finds a parabola with its minimum “in the "
    "middle region”."
)
PAPER = "Appendix D"

LOOKS = {"random": ("nonlinear", "random order"), "least_frequent_first": ("absent", "least frequent first")}
MIDDLE = (0.25, 0.75)  # "in the middle region", as the ledger reads it


def data(results: Results, params: Params) -> dict[str, Any]:
    result = results.experiment("random_features")
    orders = {order: variants["held_out"] for order, variants in result["orders"].items()}
    rows = orders["random"]["curve"][0]["explained"]["rows"]
    return {
        "finding": finding(orders["random"]),
        "note": f"{result['features']:,} vectors in {result['d_model']:,} dimensions, L0 {result['l0']:.1f}, firing "
        f"probability of the i-th ∝ i^−{result['power_law']:g}; {rows:,} held-out of {result['rows']:,} rows; means of "
        f"{len(result['seeds'])} seeds with {100 * result['level']:g} % t intervals over them, most of them narrower "
        f"than the marks. {sentence(orders['random']['parabola'])}",
        "orders": orders,
    }


def finding(random: dict[str, Any]) -> str:
    """Where the least is explained in random order, and how much."""
    points = [(row["explained"]["value"], row["masked"]) for row in random["curve"]]
    shown = [(value, masked) for value, masked in points if value is not None]
    if not shown:
        return "With random vectors the variance explained is undefined"
    value, masked = min(shown)
    vertex = random["parabola"]["vertex"]["value"]
    fitted = "" if vertex is None else f"; the vertex of the parabola is at {decimals(vertex)}"
    return f"In random order least is explained, {percent(value)}, with {percent(masked)} of features masked{fitted}"


def sentence(parabola: dict[str, Any]) -> str:
    vertex, curvature = parabola["vertex"], parabola["curvature"]
    if vertex["value"] is None:
        return f"Random order: {vertex['reason']}."
    return (
        f"Random order: curvature {curvature['value']:.3f} ({curvature['low']:.3f} to {curvature['high']:.3f}), vertex "
        f"at {vertex['value']:.3f} ({vertex['low']:.3f} to {vertex['high']:.3f})."
    )


def draw(data: dict[str, Any], style: Style) -> Figure:
    figure = style.figure(3.3)
    axes = figure.add_subplot()
    for order, result in data["orders"].items():
        component, label = LOOKS[order]
        look = COMPONENTS[component]
        shares = np.array([row["masked"] for row in result["curve"]])
        estimates = [row["explained"] for row in result["curve"]]
        line = "none" if order == "random" else "-"
        points_with_intervals(
            axes, shares, estimates, linestyle=line, label=label, color=look.colour, marker=look.marker
        )
        if order == "random" and all(item["value"] is not None for item in estimates):
            fit = np.polynomial.Polynomial.fit(shares, [item["value"] for item in estimates], 2)
            at = np.linspace(0, shares.max(), 101)
            axes.plot(at, fit(at), color=look.colour, label="its parabola")
    axes.axvspan(*MIDDLE, color=MUTED, alpha=0.12, linewidth=0, zorder=0)
    axes.text(0.5, 0.99, "paper: minimum in the middle region", transform=axes.transAxes, ha="center", va="top")
    axes.texts[-1].set(color=MUTED, fontsize=style.small)
    axes.set_xlabel("share of features masked")
    axes.set_ylabel("variance explained by the unmasked\nsum and the estimate of the rest")
    legend(axes, loc="lower left")
    return figure
