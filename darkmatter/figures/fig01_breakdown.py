"""Fig. 1: FVU and FVU_nonlinear against width; bands of absent features, linear, encoder and nonlinear error."""

from dataclasses import asdict
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from darkmatter.figures.style import COMPONENTS, DOUBLE, Style, log2_axis, points_with_intervals
from darkmatter.params.schema import Params
from darkmatter.results.breakdown import Breakdown, breakdown
from darkmatter.results.load import NotDrawn, Results, context_note, estimate

TITLE = "Breakdown of the error by width"
CAPTION = (
    "FVU of Sae(x) with the power law c + a·W^−m, and FVU_nonlinear with a horizontal line; dotted beyond the widest "
    "SAE. The asymptote c has its 95 % profile interval at the right edge. Bands: absent features above the "
    "asymptote, linear error down to FVU_nonlinear (none where the asymptote lies lower), encoder error down to what "
    "gradient pursuit leaves of FVU_nonlinear (its relative change, measured with both encoders on the same, fewer "
    "rows, applied to the line), nonlinear error below. Hollow points: the same width and L0 with another training "
    "seed."
)
PAPER = "Fig. 1, section 4.3"

DOUBLINGS_BEYOND = 3  # of the extrapolation, past the widest SAE
SAMPLES = 81
THIN = 0.07  # of the highest FVU: bands lower than this are named from above
LABEL_AT = 12  # sample of the curve at which the bands are named


def data(results: Results, params: Params) -> dict[str, Any]:
    result = breakdown(results, params)
    if all(estimate(sae, "fvu")["value"] is None for sae in result.saes):
        raise NotDrawn("no SAE of the series has an FVU")
    point = lambda sae: {  # noqa: E731
        "name": sae["name"],
        "d_sae": sae["d_sae"],
        "l0": sae["l0"],
        "seed": sae["seed"],
        "fvu": estimate(sae, "fvu"),
        "fvu_nonlinear": estimate(sae, "fvu_nonlinear"),
    }
    widths = [sae["d_sae"] for sae in result.saes]
    grid = np.geomspace(min(widths), max(widths) * 2**DOUBLINGS_BEYOND, SAMPLES)
    curve = result.law.predict(grid)
    return {
        "note": f"{result.sparsity}; " + context_note(results, params.figures.main_hookpoint) + encoder_note(result),
        "saes": [point(sae) for sae in result.saes],
        "other_seeds": [point(sae) for sae in result.other_seeds],
        "power_law": asdict(result.law),
        "line": asdict(result.line),
        "encoder": None if result.encoder is None else asdict(result.encoder),
        "gap": result.gap,
        "curve": {"d_sae": grid.tolist(), "fvu": None if curve is None else curve.tolist()},
        "widest": max(widths),
    }


def encoder_note(result: Breakdown) -> str:
    if result.encoder is None:
        return " No encoder error: no results of pursuit for these SAEs."
    changes = ", ".join(
        f"undefined ({k})" if v is None else f"{v:+.1%} ({k})" for k, v in result.encoder.change.items()
    )
    return (
        f" Encoder error: change of FVU_nonlinear by gradient pursuit, mean of {result.encoder.saes} SAEs on "
        f"{result.encoder.rows:,} of these tokens, applied to the line: {changes}; drawn: {result.encoder.claimed}."
    )


def draw(data: dict[str, Any], style: Style) -> Figure:
    figure = style.figure(DOUBLE, 3.2)
    axes = figure.add_subplot()
    right = float(np.log2(data["curve"]["d_sae"][-1]))
    law, line = data["power_law"], data["line"]
    if data["curve"]["fvu"] is not None:
        bands(axes, data)
    if line["points"] > 1:
        trend(axes, np.array([np.log2(data["saes"][0]["d_sae"]), right]), np.full(2, line["value"]), data, "nonlinear")
    if law["asymptote"] is not None:
        absent = COMPONENTS["absent"]
        interval = "no interval" if law["low"] is None else f"{law['low']:.3f} to {law['high']:.3f}"
        label = f"asymptote {law['asymptote']:.3f} ({interval})"
        axes.axhline(law["asymptote"], color=absent.colour, linestyle=absent.line, label=label)
        if law["low"] is not None:
            bars = [[law["asymptote"] - law["low"]], [law["high"] - law["asymptote"]]]
            axes.errorbar([right + 0.15], [law["asymptote"]], yerr=bars, color=absent.colour, marker="_", capsize=3)
    for key, component, name in (("fvu", "error", "FVU of Sae(x)"), ("fvu_nonlinear", "nonlinear", "FVU_nonlinear")):
        look = COMPONENTS[component]
        for saes, face, label in (("saes", look.colour, name), ("other_seeds", "white", None)):
            places = [float(np.log2(sae["d_sae"])) for sae in data[saes]]
            estimates = [sae[key] for sae in data[saes]]
            marks = {"color": look.colour, "marker": look.marker, "mfc": face, "linestyle": "none", "label": label}
            points_with_intervals(axes, places, estimates, gid=f"values-{saes}-{key}", **marks)
    finish(axes, data, right, style)
    return figure


def band_edges(data: dict[str, Any]) -> list[tuple[str, str, float, np.ndarray]]:
    """(component, name, lower edge, upper edges) of each band that is not empty.

    From the curve down: absent features to the asymptote, linear error to FVU_nonlinear, encoder error to what pursuit
    leaves of it, nonlinear error to 0.
    """
    curve = np.array(data["curve"]["fvu"])
    asymptote = data["power_law"]["asymptote"]
    floor = 0.0 if data["line"]["value"] is None else data["line"]["value"]
    low_edge = data["encoder"] and data["encoder"]["low_edge"]
    pursued = floor if low_edge is None else min(low_edge, floor)
    edges = [
        ("absent", "absent features", max(asymptote, floor), curve),
        ("linear", "linear error", floor, np.minimum(curve, max(asymptote, floor))),
        ("encoder", "encoder error", pursued, np.minimum(curve, floor)),
        ("nonlinear", "nonlinear error", 0.0, np.minimum(curve, pursued)),
    ]
    return [edge for edge in edges if np.any(edge[3] > edge[2])]


def bands(axes: Axes, data: dict[str, Any]) -> None:
    x = np.log2(data["curve"]["d_sae"])
    curve = np.array(data["curve"]["fvu"])
    for component, name, low, high in band_edges(data):
        axes.fill_between(x, low, high, where=high >= low, color=COMPONENTS[component].colour, alpha=0.22, linewidth=0)
        asymptote = data["power_law"]["asymptote"]
        label_band(axes, name, float(x[LABEL_AT]), low, float(high[LABEL_AT]), asymptote, float(curve.max()))
    trend(axes, x, curve, data, "error")


def label_band(axes: Axes, name: str, x: float, low: float, high: float, line: float, top: float) -> None:
    """Name a band inside it and off the asymptote's line, or from above where the band is too thin for a word."""
    if high - low < THIN * top:
        axes.annotate(
            name,
            (x, (low + high) / 2),
            xytext=(8, 24),
            textcoords="offset points",
            fontsize="small",
            arrowprops={"arrowstyle": "-", "linewidth": 0.6},
        )
        return
    places = [low + share * (high - low) for share in (0.5, 0.3, 0.7)]
    clear = max(places, key=lambda y: min(abs(y - line), 0.15 * (high - low)))
    axes.annotate(name, (x, clear), va="center", fontsize="small")


def trend(axes: Axes, x: np.ndarray, y: np.ndarray, data: dict[str, Any], component: str) -> None:
    """Solid where there are SAEs, dotted beyond the widest."""
    last = float(np.log2(data["widest"]))
    y_last = float(np.interp(last, x, y))
    colour = COMPONENTS[component].colour
    inside, beyond = x < last, x > last
    axes.plot([*x[inside], last], [*y[inside], y_last], color=colour, linestyle="-")
    axes.plot([last, *x[beyond]], [y_last, *y[beyond]], color=colour, linestyle=":")


def finish(axes: Axes, data: dict[str, Any], right: float, style: Style) -> None:
    left = float(np.log2(data["saes"][0]["d_sae"]))
    log2_axis(axes, "x", [2**tick for tick in np.arange(np.ceil(left), right + 0.01)], "width d_sae (latents)")
    axes.set_xlim(left - 0.25, right + 0.4)
    axes.set_ylim(0, 1.08 * axes.get_ylim()[1])
    axes.set_ylabel("fraction of variance unexplained")
    axes.legend(loc="upper right", fontsize=style.small)
