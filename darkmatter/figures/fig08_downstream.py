"""Fig. 8: cross-entropy with Sae(x), alone or with one part of its error, in place of x; and what sizes predict."""

from collections.abc import Sequence
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from darkmatter.figures.style import COMPONENTS, INK, MARK, MUTED, RULE, Style, bars_with_intervals
from darkmatter.figures.words import level_of, percent_span, values_of
from darkmatter.params.schema import Params
from darkmatter.results.load import NotDrawn, Results

TITLE = "Cross-entropy with one part of the error put back"
CAPTION = (
    "Left: increase in cross-entropy over the unchanged model when x is replaced by Sae(x), by Sae(x) and one part "
    "of its error, or by Sae(x) and a random vector that has, token by token, the norm of a part. Right: the share "
    "of the increase that each recovers, 100 (CE_Sae − CE) / (CE_Sae − CE_x); ticks on a bar: what the part's size "
    "lets expect, its mean norm over that of Sae(x), as the paper words it, or over that of SaeError, and its share of "
    "the error's variance. Intervals are over contexts, at fixed SAEs. The paper prints no value of its Fig. 8; it "
    "finds the expectations reasonable for both parts."
)
PAPER = "Fig. 8, section 5.3"

SPLICES = ("sae", "linear", "nonlinear", "random_linear", "random_nonlinear")
PARTS = ("linear", "nonlinear")
EXPECTED = {  # way → name, colour, line
    "norm": ("expected by norm of the part / of Sae(x)", MARK, "-"),
    "norm_of_error": ("expected by norm of the part / of SaeError", INK, "-"),
    "variance": ("expected by share of the error's variance", INK, ":"),
}
GROUP = 0.84  # width of the bars of one SAE, SAEs being 1 apart


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
    return {
        "finding": finding(saes),
        "note": (
            f"{run['model']}, {run['hookpoint']}; {run['rows']:,} tokens of {len(run['contexts'])} contexts that the "
            f"linear map has not seen; {level_of(params)} intervals over these contexts."
        ),
        "clean": run["cross_entropy"]["clean"],
        "saes": saes,
    }


def finding(saes: list[dict[str, Any]]) -> str:
    if not any(values_of(sae["recovered_percent"].values()) for sae in saes):
        return "The share of the cross-entropy that the parts recover is undefined"
    linear, nonlinear = (recovered([sae["recovered_percent"].get(part) for sae in saes]) for part in PARTS)
    by_linear, by_nonlinear = (recovered([sae["expected_percent"]["variance"][part] for sae in saes]) for part in PARTS)
    return (
        f"LinearError recovers {linear} of the lost cross-entropy (its share of the variance: {by_linear}), "
        f"NonlinearError {nonlinear} ({by_nonlinear})"
    )


def recovered(estimates: Sequence[dict[str, Any] | None]) -> str:
    return percent_span([value / 100 for value in values_of(item for item in estimates if item is not None)])


def l0(results: Results, hookpoint: str, name: str) -> int:
    """What is measured of a published SAE: its k is the L0 that it was chosen for."""
    return round(next(sae["l0"] for sae in results.saes(hookpoint) if sae["name"] == name))


def draw(data: dict[str, Any], style: Style) -> Figure:
    figure = style.figure(4.1)
    left, right = figure.subplots(1, 2, width_ratios=(1, 1.15))
    saes = data["saes"]
    splices = [splice for splice in SPLICES if any(splice in sae["increase"] for sae in saes)]
    for number, splice in enumerate(splices):
        draw_splice(left, [sae["increase"].get(splice) for sae in saes], number, len(splices), splice)
    parts = splices[1:]
    for number, splice in enumerate(parts):
        draw_splice(right, [sae["recovered_percent"].get(splice) for sae in saes], number, len(parts), splice)
        if splice in PARTS:
            draw_expected(right, saes, splice, number, len(parts))
    left.set_ylabel("increase in cross-entropy, nats")
    right.set_ylabel("cross-entropy recovered, %")
    for axes in (left, right):
        axes.axhline(0, color=RULE, linewidth=0.7)
        axes.set_xticks(range(len(saes)), [sae_label(sae) for sae in saes])
        axes.set_xlim(-0.6, len(saes) - 0.4)
        axes.set_xlabel("SAE: latents, L0")
    handles, labels = left.get_legend_handles_labels()
    for name, colour, line in EXPECTED.values():
        handles += right.plot([], [], color=colour, linestyle=line, linewidth=1.8)
        labels.append(name)
    figure.legend(handles, labels, loc="outside lower left", ncols=2)
    return figure


def sae_label(sae: dict[str, Any]) -> str:
    return f"{sae['d_sae']:,}\n{sae['k']}" + (f"\nseed {sae['seed']}" if sae["seed"] else "")


def look(splice: str) -> dict[str, Any]:
    """Colour and label: those of the component, grey for random vectors."""
    if splice.startswith("random_"):
        part = splice.removeprefix("random_")
        norm = f"Sae(x) + random of {COMPONENTS[part].label}'s norm"
        return {"color": MUTED, "label": norm, "alpha": 0.6 if part == "linear" else 0.35}
    component = COMPONENTS[splice]
    label = component.label if splice == "sae" else f"Sae(x) + {component.label}"
    return {"color": component.colour, "label": label}


def place(number: int, count: int) -> float:
    """Sideways offset of the middle of one of `count` bars that share an SAE."""
    return GROUP * ((number + 0.5) / count - 0.5)


def draw_splice(axes: Axes, results: Sequence[dict[str, Any] | None], number: int, count: int, splice: str) -> None:
    shown = [(at + place(number, count), item) for at, item in enumerate(results) if item is not None]
    bars_with_intervals(axes, [at for at, _ in shown], [item for _, item in shown], 0.9 * GROUP / count, **look(splice))


def draw_expected(axes: Axes, saes: Sequence[dict[str, Any]], part: str, number: int, count: int) -> None:
    """The expectations as ticks across the bar of the part."""
    half = 0.5 * GROUP / count
    for way, (_, colour, line) in EXPECTED.items():
        for at, sae in enumerate(saes):
            value = sae["expected_percent"][way][part]["value"]
            if value is not None:
                middle = at + place(number, count)
                axes.hlines(value, middle - half, middle + half, color=colour, linestyle=line, linewidth=1.8, zorder=3)
