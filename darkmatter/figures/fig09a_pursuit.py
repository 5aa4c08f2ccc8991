"""Fig. 9a: FVU and FVU_nonlinear by width, with the SAE's own encoder and with gradient pursuit on its decoder."""

from collections.abc import Callable
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from darkmatter.figures.paper import PURSUIT_DECREASE
from darkmatter.figures.style import (
    COMPONENTS,
    RULE,
    Style,
    in_percent,
    log2_axis,
    paper_range,
    points_with_intervals,
)
from darkmatter.figures.training_classes import NAMES
from darkmatter.figures.words import known, level_of, percent_span
from darkmatter.params.conventions import CONVENTIONS, PRIMARY
from darkmatter.params.saes import ALIKE
from darkmatter.params.schema import Params
from darkmatter.results.load import NotDrawn, Results, estimate

TITLE = "Gradient pursuit in place of the encoder"
CAPTION = (
    "Left: FVU and FVU_nonlinear of the SAE's own reconstruction (filled) and of gradient pursuit on its decoder "
    "(hollow), on the same rows. Right: relative change of both; hollow: the variant of the paper's text, whose L0 "
    "equals the SAE's token by token; crosses: the published code's, whose L0 is at most that. Intervals are over "
    "contexts, at fixed SAEs; those at the right resample both encoders together. SAEs that differ in more than width "
    "have a row each; of those that differ in their seed alone, the first is drawn. Grey: the change of FVU that the "
    "paper prints; of FVU_nonlinear it says that it stays almost constant."
)
PAPER = "Fig. 9a, section 6.1"

NUMBERS = {"fvu": ("error", "FVU"), "fvu_nonlinear": ("nonlinear", "FVU_nonlinear")}
CHANGES = {"decrease": ("error", "FVU", -100), "change": ("nonlinear", "FVU_nonlinear", 100)}
SMALLEST = 0.5  # per cent that do not round to 0
LIKE: dict[str, Callable[[Any], str]] = {  # what the SAEs of one line share, and how it is said
    "architecture": lambda name: NAMES.get(name, name),
    "k": lambda k: f"k = {k}",
    "train_tokens": lambda tokens: f"{tokens / 1e6:.1f}M tokens",
    "group": str,
    "seed": lambda seed: f"seed {seed}",
}
HEIGHTS = 0.9, 2.5  # inches: the legend and title, each row
ASIDE = 0.07  # doublings of width that the variants stand aside of their SAE


def data(results: Results, params: Params) -> dict[str, Any]:
    run = results.experiment("pursuit")
    if not run["saes"]:
        raise NotDrawn("pursuit has no SAE")
    saes = [
        {key: sae[key] for key in ("name", "d_sae", *LIKE)}
        | {"encoder": {number: estimate(sae["encoder"], number) for number in NUMBERS}}
        | {variant: of_variant(result) for variant, result in sae["pursuit"].items()}
        for sae in first_seeds(run["saes"])
    ]
    model = results.decomposition[run["hookpoint"]]["model"] + ", " if run["hookpoint"] in results.decomposition else ""
    below = {name: max(sae[name]["share_of_tokens_below_l0"] for sae in saes) for name in run["variants"]}
    return {
        "finding": finding(saes, run["claimed"]),
        "claimed": run["claimed"],
        "variants": run["variants"],
        "saes": saes,
        "note": (
            f"{model}{run['hookpoint']}; {run['rows']:,} tokens of {run['contexts']} contexts, the same for both "
            f"encoders; token split, the paper's conventions; {level_of(params)} intervals over contexts, paired at "
            f"the right. Drawn: {run['claimed']}. Tokens left below the SAE's L0, at most: "
            + ", ".join(f"{share:.2%} ({name})" for name, share in below.items())
            + "."
        ),
    }


def first_seeds(saes: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Of SAEs that differ in their seed alone, the one of the first seed: the others are there for its noise."""
    first: dict[tuple[Any, ...], int] = {}
    for sae in sorted(saes, key=lambda sae: sae["seed"]):
        first.setdefault(tuple(sae[key] for key in ALIKE), sae["seed"])
    return [sae for sae in saes if sae["seed"] == first[tuple(sae[key] for key in ALIKE)]]


def of_variant(result: dict[str, Any]) -> dict[str, Any]:
    split = PRIMARY[0]
    compared = {way: {name: result["compared"][split][way][name] for name in CHANGES} for way in CONVENTIONS}
    numbers = {number: estimate(result, number) for number in NUMBERS}
    return numbers | {"compared": compared, "share_of_tokens_below_l0": result["share_of_tokens_below_l0"]}


def finding(saes: list[dict[str, Any]], variant: str) -> str:
    changes = [
        known(in_percent(sae[variant]["compared"]["paper"][name], factor)["value"] for sae in saes)
        for name, (_, _, factor) in CHANGES.items()
    ]
    fvu, nonlinear = map(changed, changes)
    return f"With gradient pursuit FVU {fvu}, and FVU_nonlinear {nonlinear}"


def changed(values: list[float]) -> str:
    """Falls by 3 to 5 %; changes by −1 to 2 % where the signs differ."""
    if not values:
        return "has no defined change"
    if max(map(abs, values)) < SMALLEST:
        return "stays the same"
    if max(values) < 0 or min(values) > 0:
        word = "falls" if max(values) < 0 else "rises"
        return f"{word} by {percent_span([abs(value) / 100 for value in values])}"
    return f"changes by {percent_span([value / 100 for value in values])}"


def draw(data: dict[str, Any], style: Style) -> Figure:
    rows = series(data["saes"])
    above, row = HEIGHTS
    figure = style.figure(above + row * len(rows))
    panels = figure.subplots(len(rows), 2, sharex=True, sharey="col", squeeze=False)
    for (left, right), (name, saes) in zip(panels, rows, strict=True):
        both_encoders(left, saes, data["claimed"])
        changes(right, saes, data["claimed"], other(data))
        for axes in (left, right):
            log2_axis(axes, "x", [sae["d_sae"] for sae in data["saes"]], "width d_sae (latents)")
            axes.set_title(name)
    for axes in panels[:-1].flat:
        axes.set_xlabel("")
    left, right = panels[0]
    widths = [sae["d_sae"] for sae in data["saes"]]
    left.set_xlim(np.log2(min(widths)) - 0.3, np.log2(max(widths)) + 0.3)
    left.set_ylim(0, left.get_ylim()[1])
    low, high = right.get_ylim()
    right.set_ylim(min(low, -100 * PURSUIT_DECREASE.high - 1), max(high, 2))
    figure.legend(*left.get_legend_handles_labels(), loc="outside lower left", ncols=2)
    return figure


def series(saes: list[dict[str, Any]]) -> list[tuple[str, list[dict[str, Any]]]]:
    """SAEs that differ in width alone, with a name that tells them from the others; the least trained come first."""
    alike: dict[tuple[Any, ...], list[dict[str, Any]]] = {}
    for sae in sorted(saes, key=lambda sae: (sae["architecture"], sae["train_tokens"])):
        alike.setdefault(tuple(sae[key] for key in LIKE), []).append(sae)
    names = [""] * len(alike)
    for place, said in enumerate(LIKE.values()):
        values = [key[place] for key in alike]
        if len(set(values)) > 1 and len(set(names)) < len(names):
            names = [f"{name}, {said(value)}".removeprefix(", ") for name, value in zip(names, values, strict=True)]
    return list(zip(names, alike.values(), strict=True))


def both_encoders(axes: Axes, saes: list[dict[str, Any]], variant: str) -> None:
    """FVU and FVU_nonlinear by width: the SAE's own and, hollow, gradient pursuit's."""
    places = [float(np.log2(sae["d_sae"])) for sae in saes]
    for number, (component, name) in NUMBERS.items():
        look = COMPONENTS[component]
        for encoder, label, face, line in (
            ("encoder", "the SAE's encoder", look.colour, "-"),
            (variant, "gradient pursuit", "white", "--"),
        ):
            estimates = [sae[encoder][number] for sae in saes]
            marks = {"color": look.colour, "marker": look.marker, "mfc": face, "linestyle": line}
            points_with_intervals(axes, places, estimates, label=f"{name}, {label}", **marks)
    axes.set_ylabel("fraction of variance\nunexplained")


def changes(axes: Axes, saes: list[dict[str, Any]], variant: str, other: str) -> None:
    """The relative change of both numbers by width, with both variants of pursuit."""
    places = np.log2([sae["d_sae"] for sae in saes])
    for number, (component, _, factor) in CHANGES.items():
        look = COMPONENTS[component]
        for name, marker, aside in ((variant, look.marker, -ASIDE), (other, "x", ASIDE)):
            estimates = [in_percent(sae[name]["compared"]["paper"][number], factor) for sae in saes]
            marks = {"color": look.colour, "marker": marker, "mfc": "white", "linestyle": "none"}
            points_with_intervals(axes, places + aside, estimates, **marks)
    axes.axhline(0, color=RULE, linewidth=0.7, zorder=0)
    axes.set_ylabel("change by\ngradient pursuit, %")
    name = f"paper, FVU: −{100 * PURSUIT_DECREASE.low:.0f} to −{100 * PURSUIT_DECREASE.high:.0f} %"
    paper_range(axes, -100 * PURSUIT_DECREASE.high, -100 * PURSUIT_DECREASE.low, name)


def other(data: dict[str, Any]) -> str:
    return next(name for name in data["variants"] if name != data["claimed"])
