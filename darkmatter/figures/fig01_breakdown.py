"""Fig. 1: FVU and FVU_nonlinear against width; bands of absent features, linear, encoder and nonlinear error."""

from dataclasses import asdict
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from darkmatter.figures.ladder_panels import draw_ladder, ladder_data, ladder_note
from darkmatter.figures.style import COMPONENTS, INTERVAL, MUTED, Style, log2_axis, name_at, points_with_intervals
from darkmatter.figures.words import changes, context_note, decimals
from darkmatter.params.schema import Params
from darkmatter.results.breakdown import Breakdown, breakdown
from darkmatter.results.load import NotDrawn, Results, estimate

TITLE = "Breakdown of the error by width"
CAPTION = (
    "FVU of Sae(x) with the power law c + a·W^−m, and FVU_nonlinear with a horizontal line; dotted beyond the widest "
    "SAE. Bands: absent features above the asymptote, linear error down to FVU_nonlinear (none where the asymptote "
    "lies lower), encoder error down to what gradient pursuit leaves of FVU_nonlinear (its relative change, measured "
    "with both encoders on the same, fewer rows, applied to the line), nonlinear error below. Hollow points: the same "
    "width and L0 with another training seed. Intervals of points are over contexts, at fixed SAEs. That of the "
    "asymptote is the profile interval of the fit through these points: it holds how they scatter about the "
    "curve, and neither contexts nor the training of SAEs; the claim on the asymptote is judged by an interval that "
    "holds all three. The paper prints no value of its Fig. 1."
)
PAPER = "Fig. 1, section 4.3"

DOUBLINGS_BEYOND = 3  # of the extrapolation, past the widest SAE
SAMPLES = 81
THIN = 0.07  # of the highest FVU: bands lower than this are named from below
THIN_ASIDE = 1.5  # doublings
LABEL_AT = 9  # sample of the curve at which the bands are named
NAME_AT = 0.4  # share of a band's height: the curve falls, and a name reaches to where it is lower


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
    saes = [point(sae) for sae in result.saes]
    return {
        "finding": finding(saes),
        "note": f"{result.sparsity}; "
        + context_note(results, params.figures.main_hookpoint, params)
        + encoder_note(result)
        + (ladder_note(result.ladder) if result.ladder else ""),
        "saes": saes,
        "other_seeds": [point(sae) for sae in result.other_seeds],
        "power_law": asdict(result.law),
        "line": asdict(result.line),
        "encoder": None if result.encoder is None else asdict(result.encoder),
        "gap": result.gap,
        "curve": {"d_sae": grid.tolist(), "fvu": None if curve is None else curve.tolist()},
        "widest": max(widths),
    } | ({"ladder": ladder_data(result.ladder)} if result.ladder else {})


def finding(saes: list[dict[str, Any]]) -> str:
    """What is measured, without the extrapolation: the claim on that is judged elsewhere, by a wider interval."""
    first, last = saes[0], saes[-1]
    fvu, nonlinear = ([sae[key]["value"] for sae in (first, last)] for key in ("fvu", "fvu_nonlinear"))
    if len(saes) == 1:
        return f"At {first['d_sae']:,} latents FVU is {decimals(fvu[0])}; {decimals(nonlinear[0])} of it is nonlinear"
    widths = f"From {first['d_sae']:,} to {last['d_sae']:,} latents"
    return f"{widths} {changes(('FVU', *fvu), ('its nonlinear part', *nonlinear))}"


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
    if "ladder" in data:
        figure = style.figure(6.4)
        panels = figure.subplot_mosaic([["widths", "widths"], ["tokens", "limits"]], height_ratios=(1.3, 1))
        axes = panels["widths"]
        draw_ladder(panels["tokens"], panels["limits"], data["ladder"], style)
    else:
        figure = style.figure(3.6)
        axes = figure.add_subplot()
    right = float(np.log2(data["curve"]["d_sae"][-1]))
    line = data["line"]
    if data["curve"]["fvu"] is not None:
        bands(axes, data)
    if line["points"] > 1:
        trend(axes, np.array([np.log2(data["saes"][0]["d_sae"]), right]), np.full(2, line["value"]), data, "nonlinear")
    draw_levels(axes, data, right)
    for key, component in (("fvu", "error"), ("fvu_nonlinear", "nonlinear")):
        look = COMPONENTS[component]
        for saes, face in (("saes", look.colour), ("other_seeds", "white")):
            places = [float(np.log2(sae["d_sae"])) for sae in data[saes]]
            estimates = [sae[key] for sae in data[saes]]
            marks = {"color": look.colour, "marker": look.marker, "mfc": face, "linestyle": "none"}
            points_with_intervals(axes, places, estimates, gid=f"values-{saes}-{key}", **marks)
    name_of_series(axes, data)
    finish(axes, data, right)
    return figure


def name_of_series(axes: Axes, data: dict[str, Any]) -> None:
    """FVU beside its first point, where the curve is far from everything else."""
    first = data["saes"][0]
    if first["fvu"]["value"] is not None:
        place = {"xytext": (9, 5), "va": "bottom"}
        name_at(axes, float(np.log2(first["d_sae"])), first["fvu"]["value"], "FVU of Sae(x)", **place)


def draw_levels(axes: Axes, data: dict[str, Any], right: float) -> None:
    """The asymptote's line with its interval at the right edge; its number and that of the line, the upper above."""
    law, line = data["power_law"], data["line"]
    names = []
    if line["points"] > 1:
        names.append((line["value"], f"FVU_nonlinear,\nmean {line['value']:.3f}"))
    if (value := law["asymptote"]) is not None:
        colour = COMPONENTS["absent"].colour
        axes.axhline(value, color=colour, linestyle=":")
        interval = "no interval" if law["low"] is None else f"{law['low']:.3f} to {law['high']:.3f}"
        names.append((value, f"asymptote {value:.3f}\n({interval})"))
        if law["low"] is not None:
            bars = [[max(value - law["low"], 0)], [max(law["high"] - value, 0)]]
            axes.errorbar([right], [value], yerr=bars, color=colour, marker="_", capsize=3, elinewidth=INTERVAL)
    for (height, text), va in zip(sorted(names), ("top", "bottom")[-len(names) :], strict=False):
        name_at(axes, right, height, text, va=va, xytext=(6, 2 if va == "bottom" else -2))


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
        label_band(axes, name, float(x[LABEL_AT]), low, float(high[LABEL_AT]), float(curve.max()))
    trend(axes, x, curve, data, "error")


def label_band(axes: Axes, name: str, x: float, low: float, high: float, top: float) -> None:
    """Name a band inside it, or from below and further right where the band is too thin for a word."""
    if high - low < THIN * top:
        line = {"arrowstyle": "-", "linewidth": 0.6, "color": MUTED}
        at = (x + THIN_ASIDE, (low + high) / 2)
        axes.annotate(name, at, xytext=(10, -20), textcoords="offset points", arrowprops=line)
        return
    axes.annotate(name, (x, low + NAME_AT * (high - low)), va="center")


def trend(axes: Axes, x: np.ndarray, y: np.ndarray, data: dict[str, Any], component: str) -> None:
    """Solid where there are SAEs, dotted beyond the widest."""
    last = float(np.log2(data["widest"]))
    y_last = float(np.interp(last, x, y))
    colour = COMPONENTS[component].colour
    inside, beyond = x < last, x > last
    axes.plot([*x[inside], last], [*y[inside], y_last], color=colour, linestyle="-")
    axes.plot([last, *x[beyond]], [y_last, *y[beyond]], color=colour, linestyle=":")


def finish(axes: Axes, data: dict[str, Any], right: float) -> None:
    left = float(np.log2(data["saes"][0]["d_sae"]))
    log2_axis(axes, "x", [2**tick for tick in np.arange(np.ceil(left), right + 0.01)], "width d_sae (latents)")
    axes.set_xlim(left - 0.2, right + 0.05)
    axes.set_ylim(0, 1.04 * axes.get_ylim()[1])
    axes.set_ylabel("fraction of variance unexplained")
