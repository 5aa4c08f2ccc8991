"""Fig. 9a: FVU and FVU_nonlinear by width, with the SAE's own encoder and with gradient pursuit on its decoder."""

from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from darkmatter.figures.paper import PURSUIT_DECREASE
from darkmatter.figures.style import COMPONENTS, RULE, Style, log2_axis, paper_range, points_with_intervals
from darkmatter.figures.words import known, percent_span
from darkmatter.params.conventions import CONVENTIONS, PRIMARY
from darkmatter.params.schema import Params
from darkmatter.results.load import NotDrawn, Results, estimate

TITLE = "Gradient pursuit in place of the encoder"
CAPTION = (
    "Left: FVU and FVU_nonlinear of the SAE's own reconstruction (filled) and of gradient pursuit on its decoder "
    "(hollow), on the same rows. Right: relative change of both; hollow: the variant of the paper's text, whose L0 "
    "equals the SAE's token by token; crosses: the published code's, whose L0 is at most that. Intervals are over "
    "contexts, at fixed SAEs; those at the right resample both encoders together. Grey: the change of FVU that the "
    "paper prints; of FVU_nonlinear it says that it stays almost constant."
)
PAPER = "Fig. 9a, section 6.1"

NUMBERS = {"fvu": ("error", "FVU"), "fvu_nonlinear": ("nonlinear", "FVU_nonlinear")}
CHANGES = {"decrease": ("error", "FVU", -100), "change": ("nonlinear", "FVU_nonlinear", 100)}
SMALLEST = 0.5  # per cent that do not round to 0
ASIDE = 0.07  # doublings of width that the variants stand aside of their SAE


def data(results: Results, params: Params) -> dict[str, Any]:
    run = results.experiment("pursuit")
    if not run["saes"]:
        raise NotDrawn("pursuit has no SAE")
    saes = [
        {key: sae[key] for key in ("name", "d_sae", "k", "seed")}
        | {"encoder": {number: estimate(sae["encoder"], number) for number in NUMBERS}}
        | {variant: of_variant(result) for variant, result in sae["pursuit"].items()}
        for sae in run["saes"]
    ]
    model = results.decomposition[run["hookpoint"]]["model"] + ", " if run["hookpoint"] in results.decomposition else ""
    below = {name: max(sae[name]["share_of_tokens_below_l0"] for sae in saes) for name in run["variants"]}
    level = params.decomposition.bootstrap.level
    return {
        "finding": finding(saes, run["claimed"]),
        "claimed": run["claimed"],
        "variants": run["variants"],
        "saes": saes,
        "note": (
            f"{model}{run['hookpoint']}; {run['rows']:,} tokens of {run['contexts']} contexts, the same for both "
            f"encoders; token split, the paper's conventions; {level:.0%} intervals over contexts, paired at the "
            f"right. Drawn: {run['claimed']}. Tokens left below the SAE's L0, at most: "
            + ", ".join(f"{share:.2%} ({name})" for name, share in below.items())
            + "."
        ),
    }


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
    figure = style.figure(3.4)
    left, right = figure.subplots(1, 2)
    saes = data["saes"]
    places = np.log2([sae["d_sae"] for sae in saes])
    for number, (component, name) in NUMBERS.items():
        look = COMPONENTS[component]
        for encoder, label, face, line in (
            ("encoder", "the SAE's encoder", look.colour, "-"),
            (data["claimed"], "gradient pursuit", "white", "--"),
        ):
            estimates = [sae[encoder][number] for sae in saes]
            points_with_intervals(
                left,
                places,
                estimates,
                color=look.colour,
                marker=look.marker,
                mfc=face,
                linestyle=line,
                label=f"{name}, {label}",
            )
    left.set_ylabel("fraction of variance unexplained")
    left.set_ylim(0, left.get_ylim()[1])
    for number, (component, _, factor) in CHANGES.items():
        look = COMPONENTS[component]
        for variant, marker, aside in ((data["claimed"], look.marker, -ASIDE), (other(data), "x", ASIDE)):
            estimates = [in_percent(sae[variant]["compared"]["paper"][number], factor) for sae in saes]
            points_with_intervals(
                right, places + aside, estimates, color=look.colour, marker=marker, mfc="white", linestyle="none"
            )
    right.axhline(0, color=RULE, linewidth=0.7, zorder=0)
    right.set_ylabel("change by gradient pursuit, %")
    for axes in (left, right):
        finish(axes, [sae["d_sae"] for sae in saes])
    low, high = right.get_ylim()
    right.set_ylim(min(low, -100 * PURSUIT_DECREASE.high - 1), max(high, 2))
    name = f"paper, FVU: −{100 * PURSUIT_DECREASE.low:.0f} to −{100 * PURSUIT_DECREASE.high:.0f} %"
    paper_range(right, -100 * PURSUIT_DECREASE.high, -100 * PURSUIT_DECREASE.low, name)
    figure.legend(*left.get_legend_handles_labels(), loc="outside lower left", ncols=2)
    return figure


def other(data: dict[str, Any]) -> str:
    return next(name for name in data["variants"] if name != data["claimed"])


def in_percent(item: dict[str, Any], factor: int) -> dict[str, Any]:
    """An estimate in per cent; a negative factor turns a decrease into a change."""
    ends = [None if item[end] is None else factor * item[end] for end in ("low", "high")]
    low, high = ends if factor > 0 else ends[::-1]
    return {"value": None if item["value"] is None else factor * item["value"], "low": low, "high": high}


def finish(axes: Axes, widths: list[int]) -> None:
    log2_axis(axes, "x", widths, "width d_sae (latents)")
    axes.set_xlim(np.log2(min(widths)) - 0.3, np.log2(max(widths)) + 0.3)
