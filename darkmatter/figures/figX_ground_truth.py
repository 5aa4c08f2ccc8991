"""Synthetic activations: what the parts of SaeError are made of, and what pursuit recovers, where it is known."""
# ruff: noqa: N999 - named after its output, as every figure

from typing import Any

import numpy as np
from matplotlib.figure import Figure

from darkmatter.figures.style import COMPONENTS, RULE, Style, log2_axis, points_with_intervals
from darkmatter.figures.training_classes import NAMES
from darkmatter.figures.words import level_of, percent_span, values_of
from darkmatter.params.schema import Params
from darkmatter.results.load import NotDrawn, Results

TITLE = "What SaeError is made of where features are known"
CAPTION = (
    "SAEs of synthetic activations: sparse features in superposition, with a hierarchy and correlated firing, and an "
    "isotropic Gaussian as Dense. SaeError is absent features (those that no latent has the direction of) + Dense + "
    "Introduced. Upper row: shares in LinearError and NonlinearError are products with it, and the three parts have "
    "the sum 1; above 1 Introduced takes back what latents add that stand in for absent features. Lower row: one point "
    "for each SAE, joined from the narrowest to the widest. On the line at the left, a linear map of x finds of absent "
    "features what they make up of x. On the line at the right, all that gradient pursuit takes off Σ‖SaeError‖², with "
    "the same decoder and L0, is Introduced that gets smaller; what lies below it is latents that stand in for absent "
    "features, and Dense that is fitted."
)
PAPER = "ours"

LOOKS = ("sae", "encoder", "linear", "absent", "error", "nonlinear", "x")  # colours and markers told apart by everyone
BY_WIDTH = {"absent_and_dense": "absent + Dense in LinearError", "introduced": "Introduced in NonlinearError"}
SCATTERED = {  # title → (what is on either axis, with its name)
    "absent features": (("absent_size", "their share of x"), ("absent_linearity", "of them linear in x")),
    "gradient pursuit": (("gain", "gain, share of SaeError"), ("recovered", "features recovered")),
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
            f"which stand for contexts; {level_of(params)} intervals over groups; one seed of the world and of "
            f"training; a latent has the direction of a feature at a cosine of {result['cosine']:g}."
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
        "gain": sae["pursuit"]["gain"],
        "recovered": sae["pursuit"]["of_error"]["introduced"],
        "absent_size": parts["absent"]["size"],
        "absent_linearity": parts["absent"]["linearity"],
    }


def rest(share: dict[str, Any]) -> dict[str, Any]:
    """1 − share: what the other two parts make up."""
    if share["value"] is None:
        return share
    return share | {"value": 1 - share["value"], "low": 1 - share["high"], "high": 1 - share["low"]}


def finding(rows: list[dict[str, Any]]) -> str:
    """The share of each part in the error that the paper takes for it."""

    def values(key: str) -> str:
        return percent_span(values_of(row[key] for row in rows))

    return (
        f"Where features are known, absent ones and Dense make up {values('absent_and_dense')} of LinearError, and "
        f"what the SAE introduces {values('introduced')} of NonlinearError"
    )


def draw(data: dict[str, Any], style: Style) -> Figure:
    figure = style.figure(5.4)
    upper, lower = figure.subplots(2, 2)
    architectures = list(dict.fromkeys(row["architecture"] for row in data["saes"]))
    for number, architecture in enumerate(architectures):
        own = [row for row in data["saes"] if row["architecture"] == architecture]
        look = COMPONENTS[LOOKS[number]]
        drawn = {"color": look.colour, "marker": look.marker, "label": NAMES[architecture], "markersize": 4}
        drawn |= {"linewidth": 0.8}
        aside = ASIDE * (number - (len(architectures) - 1) / 2)
        for axes, key in zip(upper, BY_WIDTH, strict=True):
            at = [float(np.log2(row["expansion"])) + aside for row in own]
            points_with_intervals(axes, at, [row[key] for row in own], **drawn)
        for axes, ((x, _), (y, _)) in zip(lower, SCATTERED.values(), strict=True):
            shown = [row for row in own if row[x]["value"] is not None]
            points_with_intervals(axes, [row[x]["value"] for row in shown], [row[y] for row in shown], **drawn)
    for axes, title in zip(upper, BY_WIDTH.values(), strict=True):
        axes.set_title(title, loc="left")
        axes.set_ylabel("share")
        axes.axhline(1, color=RULE, linewidth=0.6, zorder=0.5)
        log2_axis(axes, "x", sorted({row["expansion"] for row in data["saes"]}), "d_sae / d_model")
    for axes, (title, ((_, x), (_, y))) in zip(lower, SCATTERED.items(), strict=True):
        axes.set_title(title, loc="left")
        axes.set_xlabel(x)
        axes.set_ylabel(y)
        axes.axline((0, 0), slope=1, color=RULE, linewidth=0.6, zorder=0.5)
    handles, labels = upper[0].get_legend_handles_labels()
    if handles:
        figure.legend(handles, labels, loc="outside lower left", ncols=4)
    return figure
