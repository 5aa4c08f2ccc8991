"""Appendix D: what the unmasked part of a sum of random vectors and the linear estimate of the rest explain."""
# ruff: noqa: N999 - named after its output, as every figure

from typing import Any

import numpy as np
from matplotlib.figure import Figure

from darkmatter.figures.style import COMPONENTS, SINGLE, Style, legend, points_with_intervals
from darkmatter.params.schema import Params
from darkmatter.results.load import Results

TITLE = "Sums of random vectors, some of them masked"
CAPTION = (
    "Variance explained by the unmasked vectors and the linear estimate of the masked ones together, against the "
    "share masked. A random mask and its complement leave the same residual, so that the curve in random order is "
    "symmetric about one half by construction, up to the draw; masking the least frequent first is not. The order is "
    "our reading: the paper names none."
)
PAPER = "Appendix D"

LOOKS = {"random": ("nonlinear", "-", "random order"), "least_frequent_first": ("absent", "--", "least frequent first")}


def data(results: Results, params: Params) -> dict[str, Any]:
    result = results.experiment("random_features")
    orders = {order: variants["held_out"] for order, variants in result["orders"].items()}
    rows = orders["random"]["curve"][0]["explained"]["rows"]
    return {
        "note": f"{result['features']:,} vectors in {result['d_model']:,} dimensions, L0 {result['l0']:.1f}, firing "
        f"probability of the i-th ∝ i^−{result['power_law']:g}; {rows:,} held-out of {result['rows']:,} rows; means of "
        f"{len(result['seeds'])} seeds with {100 * result['level']:g} % t intervals over them, most of them narrower "
        f"than the marks. {sentence(orders['random']['parabola'])}",
        "orders": orders,
    }


def sentence(parabola: dict[str, Any]) -> str:
    vertex, curvature = parabola["vertex"], parabola["curvature"]
    if vertex["value"] is None:
        return f"Random order: {vertex['reason']}."
    return (
        f"Random order: curvature {curvature['value']:.3f} ({curvature['low']:.3f} to {curvature['high']:.3f}), vertex "
        f"at {vertex['value']:.3f} ({vertex['low']:.3f} to {vertex['high']:.3f})."
    )


def draw(data: dict[str, Any], style: Style) -> Figure:
    figure = style.figure(SINGLE, 3.0)
    axes = figure.add_subplot()
    for order, result in data["orders"].items():
        component, line, label = LOOKS[order]
        look = COMPONENTS[component]
        shares = np.array([row["masked"] for row in result["curve"]])
        estimates = [row["explained"] for row in result["curve"]]
        appearance = {"color": look.colour, "marker": look.marker}
        points_with_intervals(
            axes, shares, estimates, linestyle=line if order != "random" else "none", label=label, **appearance
        )
        if order == "random" and all(item["value"] is not None for item in estimates):
            fit = np.polynomial.Polynomial.fit(shares, [item["value"] for item in estimates], 2)
            at = np.linspace(0, shares.max(), 101)
            axes.plot(at, fit(at), color=look.colour, linestyle="-", label="its parabola")
    axes.set_xlabel("share of features masked")
    axes.set_ylabel("variance explained by the unmasked sum\nand the linear estimate of the masked one")
    low, high = axes.get_ylim()
    axes.set_ylim(low - 0.35 * (high - low), high)  # for the legend
    legend(axes, loc="lower center")
    return figure
