"""What rank LinearError has: shares, FVU and cross-entropy by rank, and the ranks that hold half of it by layer."""
# ruff: noqa: N999 - named after its output, as every figure

from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from darkmatter.figures.style import COMPONENTS, MUTED, Style, legend, log2_axis, points_with_intervals
from darkmatter.figures.words import context_note, span, values_of
from darkmatter.params.conventions import PRIMARY
from darkmatter.params.schema import Params
from darkmatter.results.load import NotDrawn, Results

TITLE = "What rank has dark matter?"
CAPTION = (
    "The best linear maps of each rank from x to SaeError, on rows that they were not fitted on. Top left: share of "
    "LinearError's variance that its strongest directions hold, by the SAE's width. Top right: FVU that is left; at "
    "the right end all of LinearError is taken and FVU_nonlinear remains. Bottom left: directions that hold half (r50) "
    "and nine tenths (r90) of it, at each layer of the layer sweep. Bottom right: of the cross-entropy that "
    "LinearError wins back, the share that its strongest directions win back, beside their share of its variance on "
    "all held-out contexts. A bottleneck of some rank beside an SAE takes no more of the same errors than these maps "
    "do, but for the noise of their fit."
)
PAPER = "ours"

SPLIT = PRIMARY[0]
SPLICE_SPLIT = "context"  # of the map that is spliced


def data(results: Results, params: Params) -> dict[str, Any]:
    result = results.experiment("linear_rank")
    figures, main = params.figures, result["hookpoint"]
    widths = [sae for sae in result["saes"] if sae["hookpoint"] == main and sae["group"] == figures.widths_group]
    if not widths:
        raise NotDrawn(f"no SAE of group {figures.widths_group} at {main}")
    by_name = {sae["name"]: sae for sae in result["saes"] if sae["hookpoint"] == main}
    layers = [sae for sae in result["saes"] if sae["group"] in figures.layers_groups]
    return {
        "finding": finding([sae["estimates"][SPLIT] for sae in widths], result["d_model"]),
        "note": f"{context_note(results, main, params)} {result['d_model']:,} dimensions. Bottom right: context split, "
        f"{contexts(result['cross_entropy'])} contexts.",
        "d_model": result["d_model"],
        "widths": [{key: sae[key] for key in ("name", "d_sae")} | sae["estimates"][SPLIT] for sae in widths],
        "layers": [
            {"hookpoint": sae["hookpoint"], "layer": int(sae["hookpoint"].rpartition(".")[2]), "name": sae["name"]}
            | {key: sae["estimates"][SPLIT][key] for key in ("r50", "r90")}
            for sae in sorted(layers, key=lambda sae: int(sae["hookpoint"].rpartition(".")[2]))
        ],
        "cross_entropy": [
            {"sae": row["sae"], "curve": row["curve"], "variance": variances(by_name[row["sae"]], row["curve"])}
            for row in result["cross_entropy"]
        ],
    }


def finding(saes: list[dict[str, Any]], d_model: int) -> str:
    """How many directions hold half and nine tenths, over the widths."""
    half, most = (span(values_of(sae[key] for sae in saes), 0) for key in ("r50", "r90"))
    return f"Half of LinearError's variance takes {half} of {d_model:,} directions, nine tenths take {most}"


def contexts(rows: list[dict[str, Any]]) -> str:
    return " or ".join(dict.fromkeys(str(row["contexts"]) for row in rows)) or "no"


def variances(sae: dict[str, Any], curve: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Share of LinearError's variance at the ranks that were spliced."""
    shares = {point["rank"]: point["share"] for point in sae["estimates"][SPLICE_SPLIT]["curve"]}
    return [shares[point["rank"]] for point in curve]


def draw(data: dict[str, Any], style: Style) -> Figure:
    figure = style.figure(5.2)
    (shares, left), (layers, spliced) = figure.subplots(2, 2)
    for sae, (colour, marker) in zip(data["widths"], style.series(len(data["widths"])), strict=True):
        look = {"color": colour, "marker": marker, "linestyle": "-"}
        drawn = [point for point in sae["curve"] if point["rank"]]
        ranks = [point["rank"] for point in drawn]
        places = np.log2(ranks)
        points_with_intervals(
            shares, places, [point["share"] for point in drawn], label=f"{sae['d_sae']:,} latents", **look
        )
        points_with_intervals(left, places, [point["fvu"] for point in drawn], **look)
    shares.axhline(0.5, color=MUTED, linewidth=0.6)
    shares.set_ylabel("share of LinearError's variance")
    left.set_ylabel("FVU that is left")
    for axes in (shares, left):
        log2_axis(axes, "x", ranks, "rank")
        axes.set_ylim(bottom=0)
    legend(shares)
    draw_layers(layers, data)
    draw_spliced(spliced, data, style)
    return figure


def draw_layers(axes: Axes, data: dict[str, Any]) -> None:
    places = [row["layer"] for row in data["layers"]]
    for key, component in (("r50", "linear"), ("r90", "error")):
        look = COMPONENTS[component]
        points_with_intervals(
            axes,
            places,
            [row[key] for row in data["layers"]],
            color=look.colour,
            marker=look.marker,
            linestyle="-",
            label=key,
        )
    axes.axhline(data["d_model"], color=MUTED, linewidth=0.6)
    axes.set_ylim(0, 1.05 * data["d_model"])
    axes.set_xlabel("layer")
    axes.set_ylabel("directions")
    legend(axes)


def draw_spliced(axes: Axes, data: dict[str, Any], style: Style) -> None:
    for row, (colour, marker) in zip(data["cross_entropy"], style.series(len(data["cross_entropy"])), strict=True):
        places = np.log2([point["rank"] for point in row["curve"]])
        recovered = [point["of_linear"] for point in row["curve"]]
        look = {"color": colour, "marker": marker}
        points_with_intervals(axes, places, recovered, linestyle="-", label=f"{row['sae']}: cross-entropy", **look)
        points_with_intervals(
            axes, places, row["variance"], linestyle=":", label="its variance", fillstyle="none", **look
        )
    log2_axis(axes, "x", [point["rank"] for row in data["cross_entropy"] for point in row["curve"]], "rank")
    axes.set_ylim(bottom=0)
    axes.set_ylabel("share of what LinearError has")
    if data["cross_entropy"]:
        legend(axes)
