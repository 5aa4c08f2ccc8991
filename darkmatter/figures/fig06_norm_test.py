"""Fig. 6: the norm prediction test on five vectors, over all SAEs; beside it the cross-fitted parts.

Shared fit (the paper's): NonlinearError is the residual of b*, fitted on the rows that also fit a*. Cross-fitted
(ours): each row's parts come from a b* that has not seen the row's context.
"""

from typing import Any

import numpy as np
import seaborn as sns
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from darkmatter.figures.style import COMPONENTS, DOUBLE, Component, Style
from darkmatter.params.schema import Params
from darkmatter.results.load import NotDrawn, Results, estimate

TITLE = "Norm prediction test"
CAPTION = (
    "R² of predicting the squared norm of five vectors from the activation; one point per SAE. At the right the same "
    "test with parts from a linear map that has not seen the context. A low value alone is no proof of nonlinearity: "
    "perfectly linear sparse features with exponential activations score about 0.75 as well."
)
PAPER = "Fig. 6, section 5.1"

TARGETS = ("x", "sae", "error", "linear", "nonlinear")
CROSS_FITTED = ("linear", "nonlinear")
BINS = 45  # of the whole vertical range: points of one bin stand side by side
VIOLIN_NEEDS = 5  # SAEs; with fewer a density is a drawing of its own bandwidth


def data(results: Results, params: Params) -> dict[str, Any]:
    saes = [
        {
            "hookpoint": hookpoint,
            "name": sae["name"],
            "norm_test": {target: estimate(sae, "norm_test", target) for target in TARGETS},
            "norm_test_cross_fit": {target: estimate(sae, "norm_test_cross_fit", target) for target in CROSS_FITTED},
        }
        for hookpoint, run in sorted(results.decomposition.items())
        for sae in run["saes"]
    ]
    if not saes:
        raise NotDrawn("no SAE at any hookpoint")
    points = len({sae["hookpoint"] for sae in saes})
    return {
        "note": f"{len(saes)} SAEs at {points} hookpoints; token split, the paper's conventions.",
        "main_hookpoint": params.figures.main_hookpoint,
        "saes": saes,
    }


def draw(data: dict[str, Any], style: Style) -> Figure:
    figure = style.figure(DOUBLE, 2.9)
    axes = figure.add_subplot()
    columns = [("norm_test", target) for target in TARGETS] + [
        ("norm_test_cross_fit", target) for target in CROSS_FITTED
    ]
    everything = [sae[test][target]["value"] for test, target in columns for sae in data["saes"]]
    drawn = [value for value in everything if value is not None]
    bin_height = max(max(drawn) - min(drawn), 1e-9) / BINS if drawn else 1.0
    for place, (test, target) in enumerate(columns):
        results = [(sae["hookpoint"], sae[test][target]["value"]) for sae in data["saes"]]
        shown = [(hookpoint == data["main_hookpoint"], value) for hookpoint, value in results if value is not None]
        values, main = np.array([value for _, value in shown]), np.array([main for main, _ in shown], dtype=bool)
        column(axes, place, values, main, COMPONENTS[target], bin_height)
    names = [COMPONENTS[target].label for _, target in columns]
    axes.set_xticks(range(len(columns)), [name.replace("Error", "\nError") for name in names])
    axes.set_xlim(-0.6, len(columns) - 0.4)
    axes.axvline(len(TARGETS) - 0.5, color="0.6", linewidth=0.7)
    for place, text in (((len(TARGETS) - 1) / 2, "one fit (paper)"), (len(TARGETS) + 0.5, "cross-fitted (ours)")):
        axes.text(place, 1.01, text, transform=axes.get_xaxis_transform(), ha="center", va="bottom")
    for face, label in (("0.3", "main hookpoint"), ("white", "other hookpoints")):
        axes.plot([], [], color="0.3", marker="o", mfc=face, linestyle="none", label=label)
    figure.legend(loc="outside lower center", ncols=2)
    axes.set_ylabel("R² of the squared norm from x")
    return figure


def column(axes: Axes, place: int, values: np.ndarray, main: np.ndarray, look: Component, bin_height: float) -> None:
    """A violin of the values, and every value as a point: filled at the main hookpoint, hollow elsewhere."""
    if not len(values):
        axes.annotate("no value", (place, 0.5), xycoords=("data", "axes fraction"), ha="center", rotation=90)
        return
    if len(values) >= VIOLIN_NEEDS and np.ptp(values) > 0:
        sns.violinplot(
            x=np.full(len(values), place),
            y=values,
            ax=axes,
            native_scale=True,
            inner=None,
            cut=0,
            density_norm="width",
            width=0.85,
            color=look.colour,
            alpha=0.25,
            linewidth=0.6,
        )
    x = place + beeswarm(values, bin_height)
    for chosen, face in ((main, look.colour), (~main, "white")):
        axes.plot(
            x[chosen], values[chosen], marker=look.marker, color=look.colour, mfc=face, mew=0.7, ms=3, linestyle="none"
        )


def beeswarm(values: np.ndarray, bin_height: float, step: float = 0.07) -> np.ndarray:
    """Sideways offsets, shape (value,), that part near-equal values; no randomness, so the bytes stay the same."""
    cell = np.floor(values / bin_height).astype(int)
    offsets = np.zeros(len(values))
    for number in np.unique(cell):
        members = np.flatnonzero(cell == number)
        offsets[members] = (np.arange(len(members)) - (len(members) - 1) / 2) * min(step, 0.7 / len(members))
    return offsets
