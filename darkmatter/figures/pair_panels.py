"""Pairs of SAEs, the narrower predicting the wider (Figs. 4 and 16): as a matrix, and against the ratio of widths.

A pair has `sae_1`, `sae_2`, `d_sae_1`, `d_sae_2`, and under `shown` the estimate to draw.
"""

from typing import Any

import numpy as np
import seaborn as sns
from matplotlib.axes import Axes
from matplotlib.colors import to_hex

from darkmatter.figures.style import GROUND, ON_DARK, ON_LIGHT, Style, points_with_intervals, short

Pairs = list[dict[str, Any]]
WRITTEN = 10  # SAEs of a matrix whose cells have room for their values


def draw_matrix(axes: Axes, pairs: Pairs, style: Style, **look: Any) -> None:
    """Rows: predicted (larger) SAE; columns: predicting (smaller) SAE. A null stays blank.

    Args:
        look: of the heat map, such as `fmt` and `vmax`.
    """
    smaller, larger = (sorted({(pair[f"d_sae_{n}"], pair[f"sae_{n}"]) for pair in pairs}) for n in (1, 2))
    values = np.full((len(larger), len(smaller)), np.nan)
    for pair in pairs:
        if (value := pair["shown"]["value"]) is not None:
            cell = larger.index((pair["d_sae_2"], pair["sae_2"])), smaller.index((pair["d_sae_1"], pair["sae_1"]))
            values[cell] = value
    if np.isnan(values).all():
        axes.text(0.5, 0.5, "no value", transform=axes.transAxes, ha="center", va="center")
        return
    written = len(larger) <= WRITTEN
    sns.heatmap(
        values,
        ax=axes,
        cmap="viridis",
        annot=written,
        cbar=not written,
        annot_kws={"size": style.small},
        xticklabels=[short(width) for width, _ in smaller],
        yticklabels=[short(width) for width, _ in larger],
        linewidths=0.5,
        **look,
    )
    for text in axes.texts:
        text.set_color(ON_DARK if to_hex(text.get_color()) == GROUND else ON_LIGHT)
    axes.set_xlabel("width of SAE₁ (predicts)")
    axes.set_ylabel("width of SAE₂ (predicted)")
    axes.tick_params(rotation=0, length=0)


def draw_lines(axes: Axes, pairs: Pairs, style: Style, apart: float) -> None:
    """One line for each predicting SAE, over how many times wider the predicted one is.

    Args:
        apart: doublings by which the lines stand apart, so that intervals do not hide each other.
    """
    smaller = sorted({(pair["d_sae_1"], pair["sae_1"]) for pair in pairs})
    for number, ((colour, marker), (width, name)) in enumerate(zip(style.series(len(smaller)), smaller, strict=True)):
        aside = apart * (number - (len(smaller) - 1) / 2)
        own = sorted((pair for pair in pairs if pair["sae_1"] == name), key=lambda pair: pair["d_sae_2"])
        points_with_intervals(
            axes,
            [float(np.log2(pair["d_sae_2"] / width)) + aside for pair in own],
            [pair["shown"] for pair in own],
            color=colour,
            marker=marker,
            label=short(width),
        )
    ratios = sorted({round(float(np.log2(pair["d_sae_2"] / pair["d_sae_1"])), 3) for pair in pairs})
    if len(ratios) <= 8:
        axes.set_xticks(ratios, [f"{2**ratio:.3g}×" for ratio in ratios])
    axes.set_xlabel("width of SAE₂ / width of SAE₁")
    axes.set_title("against the distance in width")
    handles, labels = axes.get_legend_handles_labels()
    if handles:
        place = {"loc": "outside lower right", "ncols": len(labels), "columnspacing": 1.2}
        axes.figure.legend(handles, [f"from {label}" for label in labels], **place)


def at_ratio(pairs: Pairs, choose: Any) -> tuple[float, list[float]]:
    """The least or the greatest ratio of widths, and the values that the pairs of it have."""
    ratios = [(pair["d_sae_2"] / pair["d_sae_1"], pair["shown"]["value"]) for pair in pairs]
    end = choose(ratio for ratio, _ in ratios)
    return end, [value for ratio, value in ratios if ratio == end and value is not None]
