"""Section 5.2: FVU of SAEs trained on LinearError and on NonlinearError, while they train and on other documents."""

from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from darkmatter.figures.paper import ERROR_SAE_FVU
from darkmatter.figures.style import COMPONENTS, MARK, MUTED, Style, legend, name_at, points_with_intervals
from darkmatter.figures.words import decimals, level_of
from darkmatter.params.schema import Params
from darkmatter.results.load import Results

TITLE = "SAEs trained on the two parts of the error"
CAPTION = (
    "Fraction of variance unexplained of SAEs trained on LinearError and on NonlinearError of one SAE, on one "
    "budget: in the batches they train on, and on documents that no SAE here has seen. Pooled over dimensions, and "
    "as 1 − R² averaged over them: dimensions of large variance decide the first. Grey: the values that the paper "
    "prints for its two SAEs, without saying which of both it means. Small hollow points are single SAEs with "
    "intervals over contexts, large ones their means with intervals over contexts and seeds. The axis begins above 0."
)
PAPER = "Section 5.2"

PARTS = ("linear", "nonlinear")
MEASURES = {"fvu": "pooled", "fvu_per_dim": "mean over\ndimensions"}
ASIDE = 0.2
EARLY = 0.1  # share of the training whose FVU is far above the rest and tells nothing


def data(results: Results, params: Params) -> dict[str, Any]:
    run = results.experiment("error_saes")
    first, ratio = run["saes"][0], run["norm_ratio"]
    compared = "of no defined ratio" if ratio["value"] is None else f"{ratio['value']:.2f}"
    wanted = ("part", "seed", "curve", *MEASURES)
    return {
        "finding": finding(run["over_seeds"]),
        "note": (
            f"{run['hookpoint']}, error of {run['sae']['name']}; root mean square norm of LinearError over that of "
            f"NonlinearError: {compared}. {len({sae['seed'] for sae in run['saes']})} seeds of each part, "
            f"{first['d_sae']:,} latents, L0 = {first['k']}, {first['tokens']:,} tokens; {first['fvu']['rows']:,} "
            f"held-out tokens of {first['fvu']['contexts']} contexts; {level_of(params)} intervals."
        ),
        "saes": [{key: sae[key] for key in wanted} for sae in run["saes"]],
        "over_seeds": run["over_seeds"],
    }


def finding(over_seeds: dict[str, Any]) -> str:
    """Which part is learned better by each measure, and both numbers of it."""
    lower, numbers = [], []
    for measure in MEASURES:
        linear, nonlinear = (over_seeds[measure][part]["value"] for part in PARTS)
        if linear is None or nonlinear is None:
            return "The mean FVU of one of the two parts is undefined"
        lower.append(COMPONENTS[min(PARTS, key=lambda part, m=measure: over_seeds[m][part]["value"])].label)
        numbers.append(f"{decimals(min(linear, nonlinear))} against {decimals(max(linear, nonlinear))}")
    if lower[0] == lower[1]:
        return f"SAEs learn {lower[0]} better: FVU {numbers[0]}, averaged over dimensions {numbers[1]}"
    return (
        f"Pooled, SAEs learn {lower[0]} better (FVU {numbers[0]}); averaged over dimensions, {lower[1]} ({numbers[1]})"
    )


def draw(data: dict[str, Any], style: Style) -> Figure:
    figure = style.figure(3.1)
    curves, final = figure.subplots(1, 2, sharey=True, width_ratios=(1.3, 1))
    draw_curves(curves, data["saes"])
    draw_final(final, data)
    low, high = fitting(data)
    curves.set_ylim(low, high)
    return figure


def fitting(data: dict[str, Any]) -> tuple[float, float]:
    """Limits that hold what is compared and the paper's values, and no more."""
    late = [
        point["fvu"] for sae in data["saes"] for point in sae["curve"] if point["tokens"] >= EARLY * last_tokens(data)
    ]
    final = [
        item[end]
        for measure in MEASURES
        for item in (*(sae[measure] for sae in data["saes"]), *(data["over_seeds"][measure][part] for part in PARTS))
        for end in ("value", "low", "high")
    ]
    values = [*late, *(value for value in final if value is not None), *(item.low for item in ERROR_SAE_FVU.values())]
    room = 0.06 * (max(values) - min(values))
    return min(values) - room, max(values) + room


def last_tokens(data: dict[str, Any]) -> int:
    return max((point["tokens"] for sae in data["saes"] for point in sae["curve"]), default=0)


def draw_curves(axes: Axes, saes: list[dict[str, Any]]) -> None:
    """One line for each SAE; the first seed of a part is named."""
    named: set[str] = set()
    for sae in saes:
        look = COMPONENTS[sae["part"]]
        tokens, fvu = ([point[key] for point in sae["curve"]] for key in ("tokens", "fvu"))
        label = None if sae["part"] in named else look.label
        axes.plot(np.array(tokens) / 1000, fvu, color=look.colour, linewidth=0.9, label=label)
        named.add(sae["part"])
    axes.set_xlabel("thousand tokens trained on")
    axes.set_ylabel("FVU of the part")
    axes.set_title("training batches")
    legend(axes, loc="upper right")


def draw_final(axes: Axes, data: dict[str, Any]) -> None:
    """Each SAE by a small hollow point, its part's mean by a large one, the paper's value by a grey line."""
    for place, measure in enumerate(MEASURES):
        for part, side in zip(PARTS, (-ASIDE, ASIDE), strict=True):
            look, printed = COMPONENTS[part], ERROR_SAE_FVU[part].low
            shared = {"color": look.colour, "marker": look.marker, "linestyle": "none"}
            axes.plot([place + side - 0.14, place + side + 0.16], [printed] * 2, color=MARK, linewidth=2, zorder=0)
            own = [sae[measure] for sae in data["saes"] if sae["part"] == part]
            spots = place + side + np.linspace(0.04, 0.12, len(own))
            points_with_intervals(axes, spots, own, ms=2.5, mfc="white", mew=0.6, **shared)
            points_with_intervals(axes, [place + side - 0.05], [data["over_seeds"][measure][part]], ms=6, **shared)
            if place == 0:
                text = f"paper {printed:.2f}"
                name_at(axes, place + side, printed, text, color=MUTED, xytext=(0, -3), ha="center", va="top")
    axes.set_xticks(range(len(MEASURES)), list(MEASURES.values()))
    axes.set_xlim(-0.5, len(MEASURES) - 0.5)
    axes.set_title("other documents")
