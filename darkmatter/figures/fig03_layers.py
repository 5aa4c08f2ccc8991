"""Fig. 3: R² of the error norm by layer, at one width and L0, one budget for those trained here."""

from itertools import groupby
from typing import Any

from matplotlib.figure import Figure

from darkmatter.figures.paper import NORM_R2_MIDDLE
from darkmatter.figures.style import COMPONENTS, MARKERS, Style, layer_axes, paper_range, points_with_intervals
from darkmatter.figures.words import context_note, decimals, span
from darkmatter.params.schema import Params
from darkmatter.results.load import NotDrawn, Results, estimate

TITLE = "Predictability of the error norm by layer"
CAPTION = (
    "R² of the squared error norm from the activation, with intervals over contexts. SAEs that were trained "
    "here share one budget, and an interval does not hold how the training of one came out. Grey: what the paper "
    "prints for the layers between its first and its last few, where it finds the R² low and steeply falling."
)
PAPER = "Fig. 3, section 4.1"


def data(results: Results, params: Params) -> dict[str, Any]:
    groups = params.figures.layers_groups
    rows = []
    for hookpoint, run in results.decomposition.items():
        site, layer = hookpoint.rsplit(".", 1)
        rows += [
            {
                "hookpoint": hookpoint,
                "site": site,
                "layer": int(layer),
                "name": sae["name"],
                "d_sae": sae["d_sae"],
                "k": sae["k"],
                "seed": sae["seed"],
                "l0": sae["l0"],
                "norm_r2": estimate(sae, "norm_r2"),
            }
            for sae in run["saes"]
            if sae["group"] in groups
        ]
    if not rows:
        raise NotDrawn(f"no SAE of group {', '.join(groups)} at any hookpoint")
    rows.sort(key=lambda row: (series_of(row), row["layer"]))
    l0 = [row["l0"] for row in rows if row["l0"] is not None]
    stated = (
        f"Mean L0 {' to '.join(sorted({f'{value:.1f}' for value in (min(l0), max(l0))}, key=float))}; " if l0 else ""
    )
    return {
        "finding": finding(rows),
        "note": stated + context_note(results, rows[0]["hookpoint"], params).replace(f", {rows[0]['hookpoint']}", ""),
        "rows": rows,
    }


def finding(rows: list[dict[str, Any]]) -> str:
    shown = [row for row in rows if row["norm_r2"]["value"] is not None]
    if not shown:
        return "No layer has an R² of the error norm"
    least, most = (choose(shown, key=lambda row: row["norm_r2"]["value"]) for choose in (min, max))
    if least["layer"] == most["layer"]:
        return f"At layer {most['layer']} x predicts the error norm with R² {decimals(most['norm_r2']['value'])}"
    best, worst = (f"layer {row['layer']} (R² {decimals(row['norm_r2']['value'])})" for row in (most, least))
    return f"x predicts the error norm best at {best} and worst at {worst}"


def series_of(row: dict[str, Any]) -> tuple[Any, ...]:
    return row["site"], row["d_sae"], row["k"] or 0, row["seed"]


def l0_of(rows: list[dict[str, Any]]) -> str:
    """That of a series: published SAEs have it near one value, not at it."""
    result = sorted(round(row["l0"]) for row in rows if row["l0"] is not None) or ["unknown"]
    return f"L0 = {result[0]}" if result[0] == result[-1] else f"L0 {result[0]} to {result[-1]}"


def draw(data: dict[str, Any], style: Style) -> Figure:
    figure = style.figure(2.9)
    axes = figure.add_subplot()
    series = [(key, list(rows)) for key, rows in groupby(data["rows"], key=series_of)]
    colours = [COMPONENTS["error"].colour] if len(series) == 1 else [colour for colour, _ in style.series(len(series))]
    for number, ((site, d_sae, *_), rows) in enumerate(series):
        points_with_intervals(
            axes,
            [row["layer"] for row in rows],
            [row["norm_r2"] for row in rows],
            color=colours[number],
            marker=MARKERS[number % len(MARKERS)],
            label=f"{site}, {d_sae:,} latents, {l0_of(rows)}",
        )
    layer_axes(axes, [row["layer"] for row in data["rows"]])
    axes.set_ylabel("R² of ‖SaeError‖²")
    low, high = axes.get_ylim()
    axes.set_ylim(min(low, NORM_R2_MIDDLE.low - 0.05), max(high, 1.0))
    printed = span([NORM_R2_MIDDLE.low, NORM_R2_MIDDLE.high])
    paper_range(axes, NORM_R2_MIDDLE.low, NORM_R2_MIDDLE.high, f"paper, middle layers: {printed}")
    if axes.get_legend_handles_labels()[0]:
        figure.legend(loc="outside lower left", ncols=2)
    return figure
