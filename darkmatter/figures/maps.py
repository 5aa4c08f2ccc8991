"""Maps over width × L0 (Figs. 2, 10, 11): two R² and FVU_nonlinear, interpolated linearly between SAEs."""

from itertools import groupby, pairwise
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator
from matplotlib.tri import Triangulation
from scipy.spatial import QhullError

from darkmatter.figures.paper import NORM_R2, VECTOR_R2, Printed
from darkmatter.figures.style import BAND, INK, MUTED, ON_DARK, ON_LIGHT, Style, log2_axis
from darkmatter.figures.words import context_note, span, values_of
from darkmatter.params.schema import Params
from darkmatter.results.density import beside_the_papers
from darkmatter.results.load import NotDrawn, Results, estimate, one_per_cell

MAP_CAPTION = (
    "Left: R² of predicting the squared norm of the SAE's error from the activation. Middle: R² of predicting the "
    "error vector. Right: what stays unexplained by Sae(x) and the linear error together. Dots are SAEs, each with "
    "its value; between them the colours interpolate linearly in log width and log L0, and say nothing outside. The "
    "scale below each map holds its colours, and in grey the range that the paper prints for all its SAEs. The values "
    "have no interval here; the claims on them are judged by intervals over contexts and SAEs."
)
PANELS = (  # key, title, colour map, decimals
    ("norm_r2", "R² of ‖SaeError‖² (Eq. 10)", "viridis", 2),
    ("vector_r2", "R² of SaeError (Eq. 11)", "viridis", 2),
    ("fvu_nonlinear", "FVU_nonlinear (Eq. 12)", "magma_r", 3),
)
PRINTED: dict[str, Printed] = {"norm_r2": NORM_R2, "vector_r2": VECTOR_R2}
LEVELS = 12


def appendix_map(results: Results, params: Params, place: int) -> dict[str, Any]:
    """All SAEs of one of the hookpoints of appendix A.2.

    Args:
        place: of it in `figures.appendix_hookpoints`.
    """
    hookpoints = params.figures.appendix_hookpoints
    if len(hookpoints) <= place:
        raise NotDrawn(f"figures.appendix_hookpoints names {len(hookpoints)}")
    return map_data(results, params, hookpoints[place], groups=None)


def map_data(results: Results, params: Params, hookpoint: str, groups: list[str] | None) -> dict[str, Any]:
    """The SAEs of one map: of these groups, or all of the hookpoint's; always of a single training budget."""
    kept, left_out = one_per_cell(results.saes(hookpoint, groups))
    points = [
        {"name": sae["name"], "d_sae": sae["d_sae"], "k": sae["k"], "l0": sae["l0"]}
        | {key: estimate(sae, key) for key, *_ in PANELS}
        for sae in kept
        if sae["l0"] and sae["l0"] > 0
    ]
    if not points:
        raise NotDrawn(f"no SAE at {hookpoint} has a positive L0")
    tokens = kept[0]["train_tokens"]
    budget = f"Every SAE was trained on {tokens:,} tokens; " if tokens else "Every SAE is as published; "
    d_model = results.decomposition[hookpoint]["d_model"]
    density = f" {beside_the_papers(points, d_model)}"
    return {
        "finding": finding(points),
        "note": f"{budget}{context_note(results, hookpoint, params)}{density}",
        "hookpoint": hookpoint,
        "points": points,
        "left_out": left_out,
    }


def finding(points: list[dict[str, Any]]) -> str:
    norm, vector, nonlinear = (values_of(point[key] for point in points) for key, *_ in PANELS)
    ranges = f"x predicts the error's norm with R² {span(norm)} and the error itself with {span(vector)}"
    falling = [all_fall(points, key) for key in ("norm_r2", "vector_r2")]
    if all(falling):
        return f"{ranges}; both fall at each step in width"
    if any(falling):
        return f"{ranges}; {'the first' if falling[0] else 'the second'} falls at each step in width"
    return f"{ranges}; FVU_nonlinear is {span(nonlinear)}"


def all_fall(points: list[dict[str, Any]], key: str) -> bool:
    """Whether the value falls from each width to the next wherever SAEs of several widths have one k."""
    order = sorted(points, key=lambda point: (point["k"] or 0, point["d_sae"]))
    steps = []
    for _, row in groupby(order, key=lambda point: point["k"]):
        values = values_of(point[key] for point in row)
        steps += [after < before for before, after in pairwise(values)]
    return bool(steps) and all(steps)


def draw_maps(data: dict[str, Any], style: Style) -> Figure:
    figure = style.figure(3.5)
    names = [key for key, *_ in PANELS]
    axes = figure.subplot_mosaic([names, [f"{name} scale" for name in names]], height_ratios=(1, 0.07))
    first = axes[names[0]]
    for key, title, cmap, decimals in PANELS:
        panel(axes[key], axes[f"{key} scale"], data["points"], key, cmap, decimals, style)
        axes[key].set_title(title)
        log2_axis(axes[key], "x", [point["d_sae"] for point in data["points"]], "width d_sae")
        log2_axis(axes[key], "y", spaced([point["l0"] for point in data["points"]]), "")
        axes[key].use_sticky_edges = False  # a contour's edges would forbid the margin that the outer dots need
        axes[key].margins(0.12, 0.12)
        if axes[key] is not first:
            axes[key].sharex(first)
            axes[key].sharey(first)
            axes[key].tick_params(labelleft=False)
    first.set_ylabel("L0")
    return figure


def panel(
    axes: Axes, scale: Axes, points: list[dict[str, Any]], key: str, cmap: str, decimals: int, style: Style
) -> None:
    """Contours in log width and log L0; dots with their values where SAEs exist; the scale of the colours."""
    shown = [point for point in points if point[key]["value"] is not None]
    if not shown:
        axes.text(0.5, 0.5, "no value", transform=axes.transAxes, ha="center", va="center")
        scale.set_axis_off()
        return
    x, y = (np.log2([point[name] for point in shown]) for name in ("d_sae", "l0"))
    value = np.array([point[key]["value"] for point in shown])
    if (triangles := triangulate(x, y)) is not None and np.ptp(value) > 0:
        axes.tricontourf(x, y, triangles, value, levels=LEVELS, cmap=cmap, alpha=0.85)
    draw_scale(scale, float(value.min()), float(value.max()), cmap, PRINTED.get(key))
    gid = f"values-points-{key}"  # of these numbers each mark is one
    axes.scatter(x, y, s=9, color=ON_LIGHT, edgecolor=ON_DARK, linewidth=0.5, zorder=3, gid=gid)
    for at_x, at_y, number in zip(x, y, value, strict=True):
        axes.annotate(
            f"{number:.{decimals}f}".replace("0.", ".", 1),
            (at_x, at_y),
            xytext=(0, 4),
            textcoords="offset points",
            ha="center",
            color=ON_LIGHT,
            fontsize=style.small * 0.95,
            bbox={"boxstyle": "round,pad=0.12", "facecolor": ON_DARK, "edgecolor": "none", "alpha": 0.8},
        )


def draw_scale(axes: Axes, low: float, high: float, cmap: str, printed: Printed | None) -> None:
    """The colours over the values that they stand for, inside the range that the paper prints."""
    ends = [low, high] + ([printed.low, printed.high] if printed else [])
    room = 0.04 * (max(ends) - min(ends)) or 0.01
    axes.set_xlim(min(ends) - room, max(ends) + room)
    axes.set_ylim(0, 1)
    if printed:
        axes.axvspan(printed.low, printed.high, color=BAND, linewidth=0, zorder=0)
        axes.set_xlabel(f"grey: the paper, {span([printed.low, printed.high])}", color=MUTED)
    else:
        axes.set_xlabel("the paper prints no range", color=MUTED)
    if high > low:
        colours = np.linspace(0, 1, 256)[None]
        axes.imshow(colours, extent=(low, high, 0.2, 1), aspect="auto", cmap=cmap, alpha=0.85, zorder=2)
    else:
        axes.plot([low, low], [0, 1], color=INK)
    axes.set_yticks([])
    axes.spines["left"].set_visible(False)
    axes.xaxis.set_major_locator(MaxNLocator(4))


def triangulate(x: np.ndarray, y: np.ndarray) -> np.ndarray | None:
    """Delaunay triangles, shape (triangle, 3), of points scaled to a unit square; None when they span no area."""
    spans = np.ptp(x), np.ptp(y)
    if len(x) < 3 or min(spans) < 1e-6:
        return None
    try:
        return Triangulation(x / spans[0], y / spans[1]).get_masked_triangles()
    except (QhullError, RuntimeError, ValueError):  # all on one line
        return None


def spaced(values: list[float]) -> list[float]:
    """One tick for values within 15 % of each other, so that an L0 of 31.9 beside 32 has one label."""
    ticks: list[float] = []
    for value in sorted(values):
        if not ticks or value > 1.15 * ticks[-1]:
            ticks.append(value)
    return ticks
