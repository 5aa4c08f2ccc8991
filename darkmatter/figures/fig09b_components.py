"""Fig. 9b: how much of the error and of its parts is predicted from what the parents' SAEs reconstruct (Eq. 16)."""

from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from darkmatter.figures.paper import PARTS_OF_ERROR, PARTS_OF_NONLINEAR, SELF_OF_NONLINEAR, Printed
from darkmatter.figures.style import BAND, COMPONENTS, MARK, MUTED, RULE, Style, points_with_intervals
from darkmatter.figures.words import level_of, percent
from darkmatter.params.conventions import CONVENTIONS, PRIMARY
from darkmatter.params.schema import Params
from darkmatter.results.load import Results

TITLE = "What the SAEs of earlier components explain"
CAPTION = (
    "Held-out R² of predicting SaeError, LinearError and NonlinearError from what the SAE of each parent of the "
    "residual stream (Eq. 16) reconstructs, from all three together, and from Sae(x) itself, of which NonlinearError "
    "is partly a function. Filled: token split; small and hollow: no context on both sides. Intervals are over "
    "contexts, at fixed SAEs. Grey: the range that the paper prints for its parents, and its value for Sae(x)."
)
PAPER = "Fig. 9b, section 6.2"

TARGETS = ("error", "linear", "nonlinear")
SPLITS = ("token", "context")
SELF = "Sae(x)"
APART = 0.25  # between the targets of one regressor
ASIDE = 0.08  # of the other split


def data(results: Results, params: Params) -> dict[str, Any]:
    result = results.experiment("components")
    held_out = [row["targets"]["error"] for row in result["regressors"]]
    counts = [sorted({row[split]["paper"].get("rows", 0) for row in held_out}) for split in SPLITS]
    token, context = (" and ".join(f"{count:,}" for count in several) for several in counts)
    regressors = [
        {
            "label": row["label"],
            "saes": row["saes"],
            "r2": {
                target: {split: {way: row["targets"][target][split][way] for way in CONVENTIONS} for split in SPLITS}
                for target in TARGETS
            },
            "in_sample": {target: row["targets"][target]["in_sample"] for target in TARGETS},
        }
        for row in result["regressors"]
    ]
    return {
        "finding": finding(regressors),
        "note": f"{result['sae']}; {token} held-out tokens of the token split, {context} of the context split; with "
        "intercept; mean R² over dimensions, "
        f"{level_of(params)} intervals over contexts.",
        "regressors": regressors,
    }


def finding(regressors: list[dict[str, Any]]) -> str:
    """What the widest set of parents explains, and what Sae(x) does."""
    parents = [row for row in regressors if row["label"] != SELF]
    own = [row for row in regressors if row["label"] == SELF]
    sentences = []
    if parents:
        most = max(parents, key=lambda row: len(row["saes"]))
        who = "The parents' SAEs together" if len(most["saes"]) > 1 else f"The SAE at {most['label']}"
        verb = "explain" if len(most["saes"]) > 1 else "explains"
        error, nonlinear = (explained(most, target) for target in ("error", "nonlinear"))
        sentences.append(f"{who} {verb} {error} of SaeError and {nonlinear} of NonlinearError")
    if own:
        sentences.append(f"Sae(x) itself {explained(own[0], 'nonlinear')} of NonlinearError")
    return "; ".join(sentences)


def explained(row: dict[str, Any], target: str) -> str:
    return percent(row["r2"][target][PRIMARY[0]][PRIMARY[1]]["value"])


def draw(data: dict[str, Any], style: Style) -> Figure:
    figure = style.figure(3.3)
    axes = figure.add_subplot()
    rows = data["regressors"]
    for number, target in enumerate(TARGETS):
        look = COMPONENTS[target]
        middle = (number - 1) * APART
        for split in SPLITS:
            primary = split == PRIMARY[0]
            points_with_intervals(
                axes,
                [at + middle + (0 if primary else ASIDE) for at in range(len(rows))],
                [row["r2"][target][split]["paper"] for row in rows],
                color=look.colour,
                marker=look.marker,
                mfc=look.colour if primary else "white",
                ms=6 if primary else 3.5,
                linestyle="none",
                label=look.label if primary else None,
            )
        for at, row in enumerate(rows):
            draw_printed(axes, at + middle, row["label"], target)
    axes.axhline(0, color=RULE, linewidth=0.7, zorder=0)
    for at in np.arange(len(rows) - 1) + 0.5:
        axes.axvline(at, color=BAND, linewidth=0.7, zorder=0)
    axes.set_xlim(-0.5, len(rows) - 0.5)
    axes.set_xticks(range(len(rows)), [name_of(row) for row in rows])
    axes.set_xlabel("predicted from the output of the SAE at")
    axes.set_ylabel("held-out R²")
    handles, labels = axes.get_legend_handles_labels()
    handles += [Line2D([], [], color=MUTED, marker="o", ms=3.5, mfc="white", linestyle="none"), Patch(color=BAND)]
    labels += ["no context on both sides", "paper"]
    figure.legend(handles, labels, loc="outside lower left", ncols=5, columnspacing=1.2)
    return figure


def draw_printed(axes: Axes, at: float, regressor: str, target: str) -> None:
    """What the paper prints for this point, behind it."""
    if (printed := printed_for(regressor, target)) is None:
        return
    left, right = at - 0.5 * APART + 0.02, at + 0.5 * APART - 0.02
    if printed.low == printed.high:
        axes.plot([left, right], [printed.low] * 2, color=MARK, linewidth=2, zorder=0)
    else:
        axes.fill_between([left, right], printed.low, printed.high, color=BAND, linewidth=0, zorder=0)


def printed_for(regressor: str, target: str) -> Printed | None:
    if regressor == SELF:
        return SELF_OF_NONLINEAR if target == "nonlinear" else None
    return {"error": PARTS_OF_ERROR, "nonlinear": PARTS_OF_NONLINEAR}.get(target)


def name_of(row: dict[str, Any]) -> str:
    return "Sae(x) itself" if row["label"] == SELF else row["label"]
