"""Fig. 6: the norm prediction test on five vectors, over all SAEs; beside it the cross-fitted parts.

Shared fit (the paper's): NonlinearError is the residual of b*, fitted on the rows that also fit a*. Cross-fitted
(ours): each row's parts come from a b* that has not seen the row's context.
"""

from statistics import median
from typing import Any

import numpy as np
import seaborn as sns
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from darkmatter.figures.style import COMPONENTS, INK, MUTED, RULE, Component, Style, name_at
from darkmatter.figures.words import decimals, values_of
from darkmatter.params.schema import Params
from darkmatter.results.load import NotDrawn, Results, estimate

TITLE = "Norm prediction test"
CAPTION = (
    "R² of predicting the squared norm of five vectors from the activation; one point per SAE, one per hookpoint for "
    "x, whose score no SAE changes; bars: medians. At the right the same test with parts from a linear map that has "
    "not seen the context. Dashed: what perfectly linear sparse features with exponential activations score, so that "
    "a low value alone is no proof of nonlinearity. The points have no interval here; the claims on them are judged by "
    "intervals over contexts. The paper prints no value of its Fig. 6: x “can almost be perfectly predicted”, and "
    "NonlinearError and SaeError score notably lower than LinearError."
)
PAPER = "Fig. 6, section 5.1"

TARGETS = ("x", "sae", "error", "linear", "nonlinear")
CROSS_FITTED = ("linear", "nonlinear")
COLUMNS = [("norm_test", target) for target in TARGETS] + [("norm_test_cross_fit", target) for target in CROSS_FITTED]
CONTROL = "features-exponential"
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
        if run["saes"]
        for sae in results.saes(hookpoint)
    ]
    if not saes:
        raise NotDrawn("no SAE at any hookpoint")
    points = len({sae["hookpoint"] for sae in saes})
    return {
        "finding": finding(saes),
        "note": f"{len(saes)} SAEs at {points} hookpoints; token split, the paper's conventions.",
        "main_hookpoint": params.figures.main_hookpoint,
        "exponential": exponential(results),
        "saes": saes,
    }


def finding(saes: list[dict[str, Any]]) -> str:
    """Medians and no order: whether the parts differ at each hookpoint is the claim's to say."""
    middle = {}
    for target in ("linear", "nonlinear", "error", "x"):
        values = values_of(sae["norm_test"][target] for sae in scored(saes, target))
        middle[target] = f"{COMPONENTS[target].label} {decimals(median(values) if values else None)}"
    return f"Median R² of a squared norm predicted from x: {', '.join(middle.values())}"


def scored(saes: list[dict[str, Any]], target: str) -> list[dict[str, Any]]:
    """Those that have a score of their own: of x one for each hookpoint."""
    return list({sae["hookpoint"]: sae for sae in reversed(saes)}.values())[::-1] if target == "x" else saes


def exponential(results: Results) -> float | None:
    """What linear features with exponential weights score: known exactly, and found by the control."""
    try:
        rows = results.experiment("controls")["controls"]
    except NotDrawn:
        return None
    return next((row["value"] for row in rows if row["id"] == CONTROL), None)


def draw(data: dict[str, Any], style: Style) -> Figure:
    figure = style.figure(3.5)
    axes = figure.add_subplot()
    everything = [sae[test][target]["value"] for test, target in COLUMNS for sae in data["saes"]]
    drawn = [value for value in everything if value is not None]
    bin_height = max(max(drawn) - min(drawn), 1e-9) / BINS if drawn else 1.0
    for place, (test, target) in enumerate(COLUMNS):
        results = [(sae["hookpoint"], sae[test][target]["value"]) for sae in scored(data["saes"], target)]
        shown = [(hookpoint == data["main_hookpoint"], value) for hookpoint, value in results if value is not None]
        values, main = np.array([value for _, value in shown]), np.array([main for main, _ in shown], dtype=bool)
        column(axes, place, values, main, COMPONENTS[target], bin_height)
    names = [COMPONENTS[target].label for _, target in COLUMNS]
    axes.set_xticks(range(len(COLUMNS)), [name.replace("Error", "\nError") for name in names])
    axes.set_xlim(-0.6, len(COLUMNS) - 0.4)
    axes.axvline(len(TARGETS) - 0.5, color=RULE, linewidth=0.7)
    for place, text in (((len(TARGETS) - 1) / 2, "one fit (paper)"), (len(TARGETS) + 0.5, "cross-fitted (ours)")):
        axes.text(place, 1.01, text, transform=axes.get_xaxis_transform(), ha="center", va="bottom")
    if data["exponential"] is not None:
        axes.axhline(data["exponential"], color=MUTED, linestyle="--", linewidth=1.0, zorder=0)
        text = f"linear features,\nexponential\nweights: {data['exponential']:.2f}"
        name_at(axes, len(COLUMNS) - 0.4, data["exponential"], text, color=MUTED)
    for face, label in ((MUTED, "main hookpoint"), ("white", "other hookpoints")):
        axes.plot([], [], color=MUTED, marker="o", mfc=face, linestyle="none", label=label)
    figure.legend(loc="outside lower left", ncols=2)
    axes.set_ylabel("R² of the squared norm from x")
    return figure


def column(axes: Axes, place: int, values: np.ndarray, main: np.ndarray, look: Component, bin_height: float) -> None:
    """A violin of the values, their median, and every value as a point: filled at the main hookpoint, else hollow."""
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
            saturation=1,
            alpha=0.2,
            linewidth=0,
        )
    x = place + beeswarm(values, bin_height)
    for chosen, face in ((main, look.colour), (~main, "white")):
        axes.plot(
            x[chosen], values[chosen], marker=look.marker, color=look.colour, mfc=face, mew=0.7, ms=3, linestyle="none"
        )
    axes.plot([place - 0.3, place + 0.3], [np.median(values)] * 2, color=INK, linewidth=1.6, zorder=4)


def beeswarm(values: np.ndarray, bin_height: float, step: float = 0.07) -> np.ndarray:
    """Sideways offsets, shape (value,), that part near-equal values; no randomness, so the bytes stay the same."""
    cell = np.floor(values / bin_height).astype(int)
    offsets = np.zeros(len(values))
    for number in np.unique(cell):
        members = np.flatnonzero(cell == number)
        offsets[members] = (np.arange(len(members)) - (len(members) - 1) / 2) * min(step, 0.7 / len(members))
    return offsets
