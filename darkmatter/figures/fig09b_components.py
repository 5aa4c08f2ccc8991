"""Fig. 9b: how much of the error and of its parts is predicted from what the parents' SAEs reconstruct (Eq. 16)."""

from typing import Any

import numpy as np
from matplotlib.figure import Figure

from darkmatter.figures.style import COMPONENTS, DOUBLE, Style, points_with_intervals
from darkmatter.params.conventions import CONVENTIONS, PRIMARY
from darkmatter.params.schema import Params
from darkmatter.results.load import Results

TITLE = "What the SAEs of earlier components explain"
CAPTION = (
    "Held-out R² of predicting SaeError, LinearError and NonlinearError from what the SAE of each parent of the "
    "residual stream (Eq. 16) reconstructs, from all three together, and from Sae(x) itself, of which NonlinearError "
    "is partly a function. Filled: token split; hollow: no context on both sides. Intervals are over contexts."
)
PAPER = "Fig. 9b, section 6.2"

TARGETS = ("error", "linear", "nonlinear")
SPLITS = ("token", "context")
OFFSET = 0.11  # between neighbouring points of one regressor


def data(results: Results, params: Params) -> dict[str, Any]:
    result = results.experiment("components")
    held_out = [row["targets"]["error"] for row in result["regressors"]]
    counts = [sorted({row[split]["paper"].get("rows", 0) for row in held_out}) for split in SPLITS]
    token, context = (" and ".join(f"{count:,}" for count in several) for several in counts)
    return {
        "note": f"{result['sae']}; {token} held-out tokens of the token split, {context} of the context split; with "
        "intercept; mean R² over dimensions, "
        f"{100 * params.decomposition.bootstrap.level:g} % intervals over contexts.",
        "regressors": [
            {
                "label": row["label"],
                "saes": row["saes"],
                "r2": {
                    target: {
                        split: {way: row["targets"][target][split][way] for way in CONVENTIONS} for split in SPLITS
                    }
                    for target in TARGETS
                },
                "in_sample": {target: row["targets"][target]["in_sample"] for target in TARGETS},
            }
            for row in result["regressors"]
        ],
    }


def draw(data: dict[str, Any], style: Style) -> Figure:
    figure = style.figure(DOUBLE, 2.7)
    axes = figure.add_subplot()
    rows = data["regressors"]
    for number, target in enumerate(TARGETS):
        look = COMPONENTS[target]
        for split in SPLITS:
            primary = split == PRIMARY[0]
            place = (2 * number + (not primary) - len(TARGETS) + 0.5) * OFFSET
            points_with_intervals(
                axes,
                [at + place for at in range(len(rows))],
                [row["r2"][target][split]["paper"] for row in rows],
                color=look.colour,
                marker=look.marker,
                mfc=look.colour if primary else "white",
                linestyle="none",
                label=look.label if primary else None,
            )
    axes.plot([], [], color="0.3", marker="o", mfc="white", linestyle="none", label="no context on both sides")
    axes.axhline(0, color="0.6", linewidth=0.7, zorder=0)
    for at in np.arange(len(rows) - 1) + 0.5:
        axes.axvline(at, color="0.9", linewidth=0.7, zorder=0)
    axes.set_xlim(-0.5, len(rows) - 0.5)
    axes.set_xticks(range(len(rows)), [name_of(row) for row in rows])
    axes.set_xlabel("predicted from the output of the SAE at")
    axes.set_ylabel("held-out R²")
    figure.legend(loc="outside upper center", ncols=4)
    return figure


def name_of(row: dict[str, Any]) -> str:
    return "Sae(x) itself" if row["label"] == "Sae(x)" else row["label"]
