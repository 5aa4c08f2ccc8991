"""Section 5.2: FVU of SAEs trained on LinearError and on NonlinearError, while they train and on other documents."""

from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from darkmatter.figures.style import COMPONENTS, DOUBLE, Style, legend, points_with_intervals
from darkmatter.params.schema import Params
from darkmatter.results.load import Results

TITLE = "SAEs trained on the two parts of the error"
CAPTION = (
    "Fraction of variance unexplained of SAEs trained on LinearError and on NonlinearError of one SAE, on one "
    "budget: in the batches they train on, and on documents that no SAE here has seen. Pooled over dimensions, and "
    "as 1 − R² averaged over them: dimensions of large variance decide the first."
)
PAPER = "Section 5.2"

PARTS = ("linear", "nonlinear")
MEASURES = {"fvu": "pooled", "fvu_per_dim": "mean over\ndimensions"}
ASIDE = 0.17


def data(results: Results, params: Params) -> dict[str, Any]:
    run = results.experiment("error_saes")
    first, ratio = run["saes"][0], run["norm_ratio"]
    level = f"{params.decomposition.bootstrap.level:.0%}".replace("%", " %")
    compared = "of no defined ratio" if ratio["value"] is None else f"{ratio['value']:.2f}"
    wanted = ("part", "seed", "curve", *MEASURES)
    return {
        "note": (
            f"{run['hookpoint']}, error of {run['sae']['name']}; root mean square norm of LinearError over that of "
            f"NonlinearError: {compared}. {len({sae['seed'] for sae in run['saes']})} seeds of each part, "
            f"{first['d_sae']:,} latents, L0 = {first['k']}, {first['tokens']:,} tokens; {first['fvu']['rows']:,} "
            f"held-out tokens of {first['fvu']['contexts']} contexts. {level} intervals: small points over contexts, "
            "large ones over contexts and seeds."
        ),
        "saes": [{key: sae[key] for key in wanted} for sae in run["saes"]],
        "over_seeds": run["over_seeds"],
    }


def draw(data: dict[str, Any], style: Style) -> Figure:
    figure = style.figure(DOUBLE, 2.7)
    curves, final = figure.subplots(1, 2, sharey=True, width_ratios=(1.5, 1))
    draw_curves(curves, data["saes"])
    draw_final(final, data)
    return figure


def draw_curves(axes: Axes, saes: list[dict[str, Any]]) -> None:
    """One line for each SAE; the first seed of a part is named."""
    named: set[str] = set()
    for sae in saes:
        look = COMPONENTS[sae["part"]]
        tokens, fvu = ([point[key] for point in sae["curve"]] for key in ("tokens", "fvu"))
        label = None if sae["part"] in named else look.label
        named.add(sae["part"])
        axes.plot(np.array(tokens) / 1000, fvu, color=look.colour, linestyle=look.line, linewidth=0.9, label=label)
    axes.set_xlabel("thousand tokens trained on")
    axes.set_ylabel("FVU of the part")
    axes.set_title("training batches")
    last = [point["fvu"] for sae in saes for point in sae["curve"][1:]]
    axes.set_ylim(0, 1.15 * max(last, default=1))  # the first steps are far above and tell nothing
    legend(axes, loc="lower left")


def draw_final(axes: Axes, data: dict[str, Any]) -> None:
    """Each SAE by a small hollow point, its part's mean by a large one."""
    for place, measure in enumerate(MEASURES):
        for part, side in zip(PARTS, (-ASIDE, ASIDE), strict=True):
            look = COMPONENTS[part]
            shared = {"color": look.colour, "marker": look.marker, "linestyle": "none"}
            own = [sae[measure] for sae in data["saes"] if sae["part"] == part]
            spots = place + side + np.linspace(0.04, 0.12, len(own))
            points_with_intervals(axes, spots, own, ms=2.5, mfc="white", mew=0.6, **shared)
            points_with_intervals(axes, [place + side - 0.04], [data["over_seeds"][measure][part]], ms=5, **shared)
    axes.set_xticks(range(len(MEASURES)), list(MEASURES.values()))
    axes.set_xlim(-0.6, len(MEASURES) - 0.4)
    axes.set_title("other documents")
