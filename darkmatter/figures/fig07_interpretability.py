"""Fig. 7: how often the judge is right, by decile of activation, for latents of SAEs trained on each part of the error.

Without a language model the judge is the surrogate, which the figure itself says.
"""

from typing import Any

from matplotlib.figure import Figure

from darkmatter.figures.style import COMPONENTS, DOUBLE, Style, legend, points_with_intervals
from darkmatter.params.schema import Params
from darkmatter.results.load import NotDrawn, Results

TITLE = "Interpretability of latents from both parts"
CAPTION = (
    "A judge explains each latent from its strongest windows, then says of others, from the explanation alone, "
    "whether the latent fires: the share it is right in, by decile of activation, and for windows in which the "
    "latent is silent. Where the title says surrogate, no language model took part: a linear classifier on token "
    "n-grams stands in, and its level says nothing about the paper's."
)
PAPER = "Fig. 7, section 5.2"

PARTS = ("linear", "nonlinear")
SURROGATE = "surrogate"
ASIDE = 0.12  # deciles; the parts' intervals stand side by side


def data(results: Results, params: Params) -> dict[str, Any]:
    run = results.experiment("interpretability")
    parts = {part: run["parts"][part] for part in PARTS}
    if not any(part["answered"] for part in parts.values()):
        raise NotDrawn(f"{run['judge']} answered for no latent")
    level = f"{params.decomposition.bootstrap.level:.0%}".replace("%", " %")
    counts = "; ".join(f"{COMPONENTS[name].label}: {account(part)}" for name, part in parts.items())
    judge = "Surrogate for a language model" if run["judge"] == SURROGATE else run["judge"]
    return {
        "judge": run["judge"],
        "note": (
            f"Judge: {judge}. {run['hookpoint']}, error of {run['sae']}; {counts}; windows of {run['window']} tokens "
            f"of {run['contexts']} contexts; {level} intervals over latents."
        ),
        "parts": {
            name: {"silent": part["accuracy"]["silent"], "decile": part["accuracy"]["decile"]}
            for name, part in parts.items()
        },
    }


def account(part: dict[str, Any]) -> str:
    """How many latents count, and why the others do not."""
    words = f"{part['answered']} latents"
    if part["found"] < part["asked"]:
        words += f" of {part['asked']} asked for"
    if missing := part["found"] - part["answered"]:
        words += f", {missing} unanswered"
    skipped = sum(reason["share"] for reason in part["skipped"].values())
    return words + f", {100 * skipped:.0f} % of all have too few examples"


def draw(data: dict[str, Any], style: Style) -> Figure:
    figure = style.figure(DOUBLE, 2.8)
    axes = figure.add_subplot()
    deciles = max(len(part["decile"]) for part in data["parts"].values())
    for name, side in zip(PARTS, (-ASIDE, ASIDE), strict=True):
        part, look = data["parts"][name], COMPONENTS[name]
        shared = {"color": look.colour, "marker": look.marker}
        points_with_intervals(axes, [side], [part["silent"]], linestyle="none", **shared)
        places = [estimate["decile"] + side for estimate in part["decile"]]
        points_with_intervals(axes, places, part["decile"], linestyle=look.line, label=look.label, **shared)
    axes.axvline(0.5, color="0.6", linewidth=0.7)
    axes.set_xticks(range(deciles + 1), ["silent", *(f"Q{number}" for number in range(1, deciles + 1))])
    axes.set_xlabel("decile of activation, weakest first")
    axes.set_ylabel("share judged rightly")
    axes.set_ylim(0, 1)
    surrogate = data["judge"] == SURROGATE
    axes.set_title(
        "judge: surrogate (linear, on n-grams; no language model)" if surrogate else f"judge: {data['judge']}"
    )
    legend(axes, loc="upper right")
    return figure
