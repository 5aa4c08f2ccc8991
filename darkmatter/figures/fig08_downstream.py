"""Fig. 8: cross-entropy with Sae(x), alone or with one part of its error, in place of x; and what sizes predict."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from darkmatter.figures.style import COMPONENTS, DOUBLE, Style, points_with_intervals
from darkmatter.params.schema import Params
from darkmatter.results.load import NotDrawn, Results

TITLE = "Cross-entropy with one part of the error put back"
CAPTION = (
    "Left: increase in cross-entropy over the unchanged model when x is replaced by Sae(x), by Sae(x) and one part "
    "of its error, or by Sae(x) and a random vector that has, token by token, the norm of a part. Right: the share "
    "of the increase that each recovers, 100 (CE_Sae − CE) / (CE_Sae − CE_x), and what the part's size lets expect: "
    "its mean norm over that of Sae(x), as the paper words it, or over that of SaeError, and its share of the "
    "error's variance."
)
PAPER = "Fig. 8, section 5.3"

SPLICES = ("sae", "linear", "nonlinear", "random_linear", "random_nonlinear")
PARTS = ("linear", "nonlinear")
# How the paper words it, as the share of the error's norm, and by variance.
EXPECTED = {
    "norm": ("expected: norm of the part / of Sae(x)", "_"),
    "norm_of_error": ("expected: norm of the part / of SaeError", "x"),
    "variance": ("expected: share of the error's variance", "+"),
}
GREY = "0.45"
RANDOM_MARKERS = {"linear": "<", "nonlinear": ">"}
WIDTH = 0.8  # of a group of points, SAEs being 1 apart


def data(results: Results, params: Params) -> dict[str, Any]:
    run = results.experiment("downstream")
    if not run["saes"]:
        raise NotDrawn("downstream has no SAE")
    saes = [
        {key: sae[key] for key in ("name", "d_sae", "k", "seed", "cross_entropy", "increase", "recovered_percent")}
        | {"k": sae["k"] if sae["train_tokens"] else l0(results, run["hookpoint"], sae["name"])}
        | {"expected_percent": {way: sae["expected_percent"][way] for way in EXPECTED}}
        for sae in sorted(run["saes"], key=lambda sae: (sae["d_sae"], sae["k"] or 0, sae["seed"], sae["name"]))
    ]
    level = params.decomposition.bootstrap.level
    return {
        "note": (
            f"{run['model']}, {run['hookpoint']}; {run['rows']:,} tokens of {len(run['contexts'])} contexts that the "
            f"linear map has not seen; bars are {level:.0%} intervals over these contexts."
        ),
        "clean": run["cross_entropy"]["clean"],
        "saes": saes,
    }


def l0(results: Results, hookpoint: str, name: str) -> int:
    """What is measured of a published SAE: its k is the L0 that it was chosen for."""
    return round(next(sae["l0"] for sae in results.saes(hookpoint) if sae["name"] == name))


def draw(data: dict[str, Any], style: Style) -> Figure:
    figure = style.figure(DOUBLE, 3.1)
    left, right = figure.subplots(1, 2)
    saes = data["saes"]
    splices = [splice for splice in SPLICES if any(splice in sae["increase"] for sae in saes)]
    for number, splice in enumerate(splices):
        draw_splice(left, [sae["increase"].get(splice) for sae in saes], number, len(splices), splice)
    parts = splices[1:]
    for number, splice in enumerate(parts):
        draw_splice(right, [sae["recovered_percent"].get(splice) for sae in saes], number, len(parts), splice)
        if splice in PARTS:
            draw_expected(right, saes, splice, number, len(parts))
    for way, marker in EXPECTED.values():
        right.plot([], [], color="0.2", marker=marker, linestyle="none", ms=6, label=way)
    left.set_ylabel("increase in cross-entropy, nats")
    right.set_ylabel("cross-entropy recovered, %")
    for axes in (left, right):
        axes.axhline(0, color="0.6", linewidth=0.7, zorder=0)
        axes.set_xticks(range(len(saes)), [sae_label(sae) for sae in saes])
        axes.set_xlim(-0.6, len(saes) - 0.4)
        axes.set_xlabel("SAE: latents, L0")
    right.axhline(100, color="0.6", linewidth=0.7, zorder=0)
    handles, labels = left.get_legend_handles_labels()
    more = [pair for pair in zip(*right.get_legend_handles_labels(), strict=True) if pair[1] not in labels]
    handles, labels = [*handles, *(handle for handle, _ in more)], [*labels, *(label for _, label in more)]
    figure.legend(handles, labels, loc="outside lower center", ncols=3)
    return figure


def sae_label(sae: dict[str, Any]) -> str:
    return f"{sae['d_sae']:,}, {sae['k']}" + (f"\nseed {sae['seed']}" if sae["seed"] else "")


def look(splice: str) -> dict[str, Any]:
    """Colour, marker and label: those of the component, grey for random vectors."""
    if splice.startswith("random_"):
        part = splice.removeprefix("random_")
        norm = f"Sae(x) + random, norm of {COMPONENTS[part].label}"
        return {"color": GREY, "marker": RANDOM_MARKERS[part], "label": norm}
    component = COMPONENTS[splice]
    label = component.label if splice == "sae" else f"Sae(x) + {component.label}"
    return {"color": component.colour, "marker": component.marker, "label": label}


def place(number: int, count: int) -> float:
    """Sideways offset of one of `count` points that share an SAE."""
    return WIDTH * ((number + 0.5) / count - 0.5)


def draw_splice(axes: Axes, results: Sequence[dict[str, Any] | None], number: int, count: int, splice: str) -> None:
    shown = [(at + place(number, count), item) for at, item in enumerate(results) if item is not None]
    points_with_intervals(
        axes, [at for at, _ in shown], [item for _, item in shown], linestyle="none", ms=4, **look(splice)
    )


def draw_expected(axes: Axes, saes: Sequence[dict[str, Any]], part: str, number: int, count: int) -> None:
    """The expectations to the right of the point, in the colour of the part."""
    step = WIDTH / count / (len(EXPECTED) + 1.5)
    for offset, (way, (_, marker)) in enumerate(EXPECTED.items()):
        values = [sae["expected_percent"][way][part]["value"] for sae in saes]
        at = np.array([at + place(number, count) + (offset + 1) * step for at in range(len(saes))])
        kept = [value is not None for value in values]
        shown = [value for value in values if value is not None]
        axes.plot(at[kept], shown, color=COMPONENTS[part].colour, marker=marker, linestyle="none", ms=6, mew=1.2)
