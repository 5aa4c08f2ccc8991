"""Maps over width × L0 (Figs. 2, 10, 11): two R² and FVU_nonlinear, interpolated linearly between SAEs."""

from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator
from matplotlib.tri import Triangulation
from scipy.spatial import QhullError

from darkmatter.figures.style import DOUBLE, Style, log2_axis
from darkmatter.results.density import beside_the_papers
from darkmatter.results.load import NotDrawn, Results, context_note, estimate, one_per_cell

MAP_CAPTION = (
    "Left: R² of predicting the squared norm of the SAE's error from the activation. Middle: R² of predicting the "
    "error vector. Right: what stays unexplained by Sae(x) and the linear error together. Dots are SAEs, each with "
    "its value; between them the colours interpolate linearly in log width and log L0, and say nothing outside."
)
PANELS = (  # key, title, colour map, decimals
    ("norm_r2", "R² of ‖SaeError‖² (Eq. 10)", "viridis", 2),
    ("vector_r2", "R² of SaeError (Eq. 11)", "viridis", 2),
    ("fvu_nonlinear", "FVU_nonlinear (Eq. 12)", "magma_r", 3),
)
LEVELS = 12


def map_data(results: Results, hookpoint: str, groups: list[str] | None) -> dict[str, Any]:
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
        "note": f"{budget}{context_note(results, hookpoint)}{density}",
        "hookpoint": hookpoint,
        "points": points,
        "left_out": left_out,
    }


def draw_maps(data: dict[str, Any], style: Style) -> Figure:
    figure = style.figure(DOUBLE, 2.7)
    rows = figure.subplots(1, len(PANELS), sharex=True, sharey=True)
    for axes, (key, title, cmap, decimals) in zip(rows, PANELS, strict=True):
        panel(axes, data["points"], key, cmap, decimals, style)
        axes.set_title(title)
        log2_axis(axes, "x", [point["d_sae"] for point in data["points"]], "width d_sae")
        log2_axis(axes, "y", spaced([point["l0"] for point in data["points"]]), "")
        axes.use_sticky_edges = False  # a contour's edges would forbid the margin that the outer dots need
        axes.margins(0.13, 0.13)
    rows[0].set_ylabel("L0")
    return figure


def panel(axes: Axes, points: list[dict[str, Any]], key: str, cmap: str, decimals: int, style: Style) -> None:
    """Contours in log width and log L0; dots with their values where SAEs exist."""
    shown = [point for point in points if point[key]["value"] is not None]
    if not shown:
        axes.text(0.5, 0.5, "no value", transform=axes.transAxes, ha="center", va="center")
        return
    x, y = (np.log2([point[name] for point in shown]) for name in ("d_sae", "l0"))
    value = np.array([point[key]["value"] for point in shown])
    if (triangles := triangulate(x, y)) is not None and np.ptp(value) > 0:
        filled = axes.tricontourf(x, y, triangles, value, levels=LEVELS, cmap=cmap, alpha=0.85)
        axes.figure.colorbar(filled, ax=axes, shrink=0.9, ticks=MaxNLocator(4), drawedges=False)
    gid = f"values-points-{key}"  # of these numbers each mark is one
    axes.scatter(x, y, s=9, color="black", edgecolor="white", linewidth=0.5, zorder=3, gid=gid)
    for at_x, at_y, number in zip(x, y, value, strict=True):
        axes.annotate(
            f"{number:.{decimals}f}".replace("0.", ".", 1),
            (at_x, at_y),
            xytext=(0, 4),
            textcoords="offset points",
            ha="center",
            fontsize=style.small * 0.9,
            bbox={"boxstyle": "round,pad=0.12", "facecolor": "white", "edgecolor": "none", "alpha": 0.75},
        )


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
