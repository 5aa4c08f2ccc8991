"""What a judge said of latents (Fig. 7 and the surrogate's): its answers by decile of activation, beside chance."""

from typing import Any

from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from darkmatter.figures.style import COMPONENTS, MUTED, Style, points_with_intervals
from darkmatter.figures.words import level_of
from darkmatter.params.schema import Params
from darkmatter.results.load import NotDrawn, Results

PARTS = ("linear", "nonlinear")
SURROGATE = "surrogate"
ASIDE = 0.1  # deciles; the parts' intervals stand side by side
JUDGED_CAPTION = (
    "A judge explains each latent from its strongest windows, then says of others, from the explanation alone, "
    "whether the latent fires: the share it is right in, for windows in which the latent is silent (left) and by "
    "decile of activation (right). Dashed: chance, the share of silent windows that the judge calls active, which is "
    "what it would get right if it could not tell the two apart. Intervals are over latents."
)


def judged_data(results: Results, params: Params) -> dict[str, Any]:
    """The answers on each part, with their judge; no finding yet.

    Raises:
        NotDrawn: the judge answered for no latent.
    """
    run = results.experiment("interpretability")
    parts = {part: run["parts"][part] for part in PARTS}
    if not any(part["answered"] for part in parts.values()):
        raise NotDrawn(f"{run['judge']} answered for no latent")
    counts = "; ".join(f"{COMPONENTS[name].label}: {account(part)}" for name, part in parts.items())
    judge = "Surrogate for a language model" if run["judge"] == SURROGATE else run["judge"]
    return {
        "judge": run["judge"],
        "note": (
            f"Judge: {judge}. {run['hookpoint']}, error of {run['sae']}; {counts}; windows of {run['window']} tokens "
            f"of {run['contexts']} contexts; {level_of(params)} intervals over latents."
        ),
        "lead": run["difference"]["mean"],
        "parts": {
            name: {key: part["accuracy"][key] for key in ("silent", "decile", "mean", "balanced")}
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


def draw_judged(data: dict[str, Any], style: Style) -> Figure:
    figure = style.figure(3.1)
    silent, active = figure.subplots(1, 2, width_ratios=(1, 5.5))
    deciles = max(len(part["decile"]) for part in data["parts"].values())
    for name, side in zip(PARTS, (-ASIDE, ASIDE), strict=True):
        part, look = data["parts"][name], COMPONENTS[name]
        shared = {"color": look.colour, "marker": look.marker}
        points_with_intervals(silent, [side], [part["silent"]], linestyle="none", **shared)
        places = [estimate["decile"] + side for estimate in part["decile"]]
        points_with_intervals(active, places, part["decile"], label=look.label, **shared)
        if part["silent"]["value"] is not None:
            chance = 1 - part["silent"]["value"]
            active.plot([0.5, deciles + 0.5], [chance] * 2, color=look.colour, linestyle="--", linewidth=1.0)
    silent.set_xticks([0], ["silent"])
    silent.set_xlim(-0.5, 0.5)
    silent.set_ylabel("share judged rightly")
    active.set_xticks(range(1, deciles + 1), [f"Q{number}" for number in range(1, deciles + 1)])
    active.set_xlabel("decile of activation, weakest first")
    active.set_ylim(bottom=0)
    handles, labels = active.get_legend_handles_labels()
    if handles:
        handles.append(Line2D([], [], color=MUTED, linestyle="--", linewidth=1.0))
        figure.legend(handles, [*labels, "chance: silent windows called active"], loc="outside lower left", ncols=3)
    return figure
