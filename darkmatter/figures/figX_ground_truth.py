"""Synthetic activations: what the parts of SaeError are made of, and what pursuit recovers, where it is known."""
# ruff: noqa: N999 - named after its output, as every figure

from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from darkmatter.figures.style import COMPONENTS, RULE, Style, log2_axis, name_at, points_with_intervals
from darkmatter.figures.words import percent_span, values_of
from darkmatter.params.schema import Params
from darkmatter.results.load import NotDrawn, Results

TITLE = "What SaeError is made of where features are known"
CAPTION = (
    "SAEs of synthetic activations: sparse features in superposition, with a hierarchy and correlated firing, and an "
    "isotropic Gaussian as Dense. SaeError is absent features (those that no latent has the direction of) + Dense + "
    "Introduced. Shares in LinearError and NonlinearError are products with it, and the three have the sum 1: above 1 "
    "Introduced takes back what latents add that stand in for absent features. Lower left: one point for each SAE; on "
    "the line a linear map of x finds of absent features what they make up of x. Lower right: of what gradient pursuit "
    "takes off Σ‖SaeError‖² with the same decoder and L0, the part by which Introduced gets smaller; the rest is "
    "latents that stand in for absent features, and Dense that is fitted."
)
PAPER = "ours"

LOOKS = ("sae", "encoder", "linear", "absent", "error", "nonlinear", "x")  # colours and markers told apart by everyone
NAMES = {
    "topk": "TopK",
    "batchtopk": "BatchTopK",
    "matryoshka_batchtopk": "Matryoshka",
    "jumprelu": "JumpReLU",
    "standard": "ReLU (L1)",
    "gated": "gated",
    "matching_pursuit": "matching pursuit",
}
LINES = {  # panel → its label, and where its line is drawn
    "absent_and_dense": ("absent + Dense in LinearError", 1.0),
    "introduced": ("Introduced in NonlinearError", 1.0),
    "recovered": ("features recovered in pursuit's gain", 0.0),
}
ASIDE = 0.05  # between architectures at one width, on an axis of doublings


def data(results: Results, params: Params) -> dict[str, Any]:
    result = results.experiment("ground_truth")
    if not result["saes"]:
        raise NotDrawn("ground_truth.architectures names none, so the experiment is off")
    rows = [row_of(sae) for sae in result["saes"]]
    world, first = result["world"], result["saes"][0]["fvu"]
    return {
        "finding": finding(rows),
        "note": (
            f"{world['features']} features in {world['d_model']} dimensions, {world['dense_share']:.0%} of the "
            f"variance Dense; {first['rows']:,} held-out rows in {first['contexts']} groups of independent rows, "
            "which stand for contexts; 95 % intervals over groups; one seed of the world and of training; a latent "
            f"has the direction of a feature at a cosine of {result['cosine']:g}."
        ),
        "saes": rows,
    }


def row_of(sae: dict[str, Any]) -> dict[str, Any]:
    parts = sae["by_cosine"][0]["parts"]
    return {
        "name": sae["name"],
        "architecture": sae["architecture"],
        "expansion": sae["expansion"],
        "absent_and_dense": rest(parts["introduced"]["of_linear"]),
        "introduced": parts["introduced"]["of_nonlinear"],
        "recovered": sae["pursuit"]["shares"]["introduced"],
        "absent_size": parts["absent"]["size"],
        "absent_linearity": parts["absent"]["linearity"],
    }


def rest(share: dict[str, Any]) -> dict[str, Any]:
    """1 − share: what the other two parts make up."""
    if share["value"] is None:
        return share
    return share | {"value": 1 - share["value"], "low": 1 - share["high"], "high": 1 - share["low"]}


def finding(rows: list[dict[str, Any]]) -> str:
    """The share of each part in the error that the paper takes for it, and the linear share of absent features."""

    def values(key: str) -> str:
        return percent_span(values_of(row[key] for row in rows))

    return (
        f"Where features are known, absent ones and Dense make up {values('absent_and_dense')} of LinearError, and "
        f"what the SAE introduces {values('introduced')} of NonlinearError"
    )


def draw(data: dict[str, Any], style: Style) -> Figure:
    figure = style.figure(5.2)
    panels = dict(
        zip(("absent_and_dense", "introduced", "absent", "recovered"), figure.subplots(2, 2).flat, strict=True)
    )
    architectures = list(dict.fromkeys(row["architecture"] for row in data["saes"]))
    expansions = sorted({row["expansion"] for row in data["saes"]})
    for number, architecture in enumerate(architectures):
        own = [row for row in data["saes"] if row["architecture"] == architecture]
        aside = ASIDE * (number - (len(architectures) - 1) / 2)
        look = COMPONENTS[LOOKS[number]]
        drawn = {"color": look.colour, "marker": look.marker, "label": NAMES[architecture], "markersize": 4}
        for key in LINES:
            at = [np.log2(row["expansion"]) + aside for row in own]
            points_with_intervals(panels[key], at, [row[key] for row in own], linewidth=0.8, **drawn)
        draw_linearity(panels["absent"], own, drawn)
    for key, (label, line) in LINES.items():
        panels[key].set_ylabel(label)
        panels[key].axhline(line, color=RULE, linewidth=0.6, zorder=0.5)
        log2_axis(panels[key], "x", expansions, "d_sae / d_model")
    finish_linearity(panels["absent"])
    handles, labels = panels["recovered"].get_legend_handles_labels()
    if handles:
        figure.legend(handles, labels, loc="outside lower left", ncols=len(handles))
    return figure


def draw_linearity(axes: Axes, rows: list[dict[str, Any]], drawn: dict[str, Any]) -> None:
    """Linear share of absent features against their share of x."""
    shown = [row for row in rows if row["absent_size"]["value"] is not None]
    at = [row["absent_size"]["value"] for row in shown]
    points_with_intervals(axes, at, [row["absent_linearity"] for row in shown], linestyle="none", **drawn)


def finish_linearity(axes: Axes) -> None:
    axes.set_xlabel("absent features' share of x")
    axes.set_ylabel("of them linear in x")
    axes.set_xlim(0, None)
    axes.set_ylim(0, None)
    end = min(axes.get_xlim()[1], axes.get_ylim()[1])
    axes.plot([0, end], [0, end], color=RULE, linewidth=0.6, zorder=0.5)
    name_at(axes, 0.8 * end, 0.8 * end, "equal")
