"""Fig. 4: R² of predicting the larger SAE's per-token squared error norm from the smaller one's (Eq. 13)."""

from typing import Any

import numpy as np
import seaborn as sns
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from darkmatter.figures.style import DOUBLE, Style, legend, points_with_intervals, short
from darkmatter.params import Params
from darkmatter.results import NotDrawn, Results

VARIANTS = ("paper", "authors", "through_origin")


def data(results: Results, params: Params) -> dict[str, Any]:
    scaling = results.experiment("per_token_scaling")
    if not scaling["pairs"]:
        raise NotDrawn("no pair of SAEs: the groups of per_token_scaling hold fewer than two")
    null = {"value": None, "low": None, "high": None, "reason": "not estimated"}
    pairs = [
        {key: pair[key] for key in ("sae_1", "sae_2", "d_sae_1", "d_sae_2")}
        | {variant: pair["estimates"].get("token", {}).get(variant) or null for variant in VARIANTS}
        for pair in scaling["pairs"]
        if pair["d_sae_1"] < pair["d_sae_2"]
    ]
    if not pairs:
        raise NotDrawn("no pair of SAEs of different width")
    pairs.sort(key=lambda pair: (pair["d_sae_1"], pair["sae_1"], pair["d_sae_2"], pair["sae_2"]))
    return {"note": f"{scaling['hookpoint']}; squared norms with intercept, token split.", "pairs": pairs}


def draw(data: dict[str, Any], style: Style) -> Figure:
    figure = style.figure(DOUBLE, 2.9)
    matrix, lines = figure.subplots(1, 2, width_ratios=(1, 1.1))
    draw_matrix(matrix, data["pairs"], style)
    draw_lines(lines, data["pairs"], style)
    return figure


def draw_matrix(axes: Axes, pairs: list[dict[str, Any]], style: Style) -> None:
    """Rows: predicted (larger) SAE; columns: predicting (smaller) SAE. A null stays blank."""
    smaller, larger = (sorted({(pair[f"d_sae_{n}"], pair[f"sae_{n}"]) for pair in pairs}) for n in (1, 2))
    values = np.full((len(larger), len(smaller)), np.nan)
    for pair in pairs:
        if (value := pair["paper"]["value"]) is not None:
            cell = larger.index((pair["d_sae_2"], pair["sae_2"])), smaller.index((pair["d_sae_1"], pair["sae_1"]))
            values[cell] = value
    if np.isnan(values).all():
        axes.text(0.5, 0.5, "no value", transform=axes.transAxes, ha="center", va="center")
        return
    sns.heatmap(
        values,
        ax=axes,
        cmap="viridis",
        annot=len(larger) <= 10,
        fmt=".2f",
        annot_kws={"size": style.small},
        xticklabels=[short(width) for width, _ in smaller],
        yticklabels=[short(width) for width, _ in larger],
        cbar_kws={"shrink": 0.9},
        linewidths=0.5,
        vmax=1.0,
    )
    axes.set_xlabel("width of SAE₁ (predicts)")
    axes.set_ylabel("width of SAE₂ (predicted)")
    axes.tick_params(rotation=0, length=0)
    axes.set_title("R² for each pair")


def draw_lines(axes: Axes, pairs: list[dict[str, Any]], style: Style) -> None:
    smaller = sorted({(pair["d_sae_1"], pair["sae_1"]) for pair in pairs})
    for (colour, marker, line), (width, name) in zip(style.series(len(smaller)), smaller, strict=True):
        own = sorted((pair for pair in pairs if pair["sae_1"] == name), key=lambda pair: pair["d_sae_2"])
        points_with_intervals(
            axes,
            [float(np.log2(pair["d_sae_2"] / width)) for pair in own],
            [pair["paper"] for pair in own],
            color=colour,
            marker=marker,
            linestyle=line,
            label=f"from {short(width)}",
        )
    ratios = sorted({round(float(np.log2(pair["d_sae_2"] / pair["d_sae_1"])), 3) for pair in pairs})
    if len(ratios) <= 8:
        axes.set_xticks(ratios, [f"{2**ratio:.3g}×" for ratio in ratios])
    axes.set_xlabel("width of SAE₂ / width of SAE₁")
    axes.set_ylabel("R²")
    axes.set_ylim(top=1)
    axes.set_title("against the distance in width")
    legend(axes, loc="best")
