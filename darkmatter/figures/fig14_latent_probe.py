"""Fig. 14: the probe of a reconstruction's norm along each latent against that latent's average activation."""

from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from darkmatter.figures.style import COMPONENTS, DOUBLE, Style
from darkmatter.params.conventions import CONVENTIONS, PRIMARY
from darkmatter.params.schema import Params
from darkmatter.results.load import NotDrawn, Results

TITLE = "The norm probe along each latent"
CAPTION = (
    "The probe a* of ‖Sae(x) − b_dec‖² times the direction of each latent, against that latent's mean activation "
    "where it is active (the paper's comparison), against E(w) (B.1) and against E(w²)/E(w) (C.1). On the line both "
    "are equal. Lines: moving means over latents in the order of E(w | active). Ratio: median over latents of "
    "a*·latent over the average; rank corr.: Spearman's; both with intervals over latents. At each end of an axis up "
    "to 0.5 % of the points lie outside."
)
PAPER = "Fig. 14, appendix C.2"

AVERAGES = {"active": "E(w | active)", "mean": "E(w)", "second": "E(w²) / E(w)", "product": "E(wg) / E(w)"}
OUTSIDE = 0.005  # share of points at each end that may lie beyond an axis: a few would flatten the rest


def data(results: Results, params: Params) -> dict[str, Any]:
    result = results.experiment("latent_probe")
    counts, curve = result["latents"], result["curve"]
    if not curve["latent"]:
        raise NotDrawn(f"no latent of {result['sae']} fired {counts['min_firings']} times")
    split, convention = PRIMARY
    level = f"{100 * params.decomposition.bootstrap.level:g} %"
    return {
        "note": f"{result['sae']}: {counts['compared']:,} of {counts['all']:,} latents; {counts['never_fired']:,} "
        f"never fired, {counts['below_min_firings']:,} fired fewer than {counts['min_firings']} times on "
        f"{result['rows']:,} tokens; {len(curve['latent']):,} drawn, evenly over their order. Probe "
        f"fitted on the token split, with intercept; {level} intervals over latents. With g = latent·(Sae(x) − b_dec) "
        f"the squared norm is Σ wg; g is w where latents are orthogonal. {premise(result, split, convention)}",
        "latents": counts,
        "against": {average: result["against"][split][convention][average] for average in AVERAGES},
        "probe_r2": {way: result["probe_r2"][split][way] for way in CONVENTIONS},
        "curve": curve,
    }


def premise(result: dict[str, Any], split: str, convention: str) -> str:
    """What the two ratios say of B.1, whose argument is that a latent's share of the norm is its own square."""
    second, product = (result["against"][split][convention][name]["ratio"]["value"] for name in ("second", "product"))
    if second is None or product is None:
        return "Too few latents to say what follows for B.1's premise."
    return (
        "B.1 takes latents as almost orthogonal, and then the last two panels are one. The ratio is "
        f"{short(second)} against E(w²)/E(w) and {short(product)} against E(wg)/E(w): by these medians "
        f"{other(second, product)}."
    )


def other(second: float, product: float) -> str:
    """How much E(wg)/E(w) differs from E(w²)/E(w), from the ratios to both."""
    share = 100 * (1 - product / second)
    if share < 0:
        return f"other latents take {-share:.0f} % away from a latent's own share of the norm"
    return f"{share:.0f} % of a latent's share of the norm is what other latents add in its direction"


def draw(data: dict[str, Any], style: Style) -> Figure:
    figure = style.figure(DOUBLE, 2.8)
    panels = figure.subplots(1, len(AVERAGES), sharey=True)
    curve = data["curve"]
    probe = np.array(curve["probe_paper"])
    for axes, (average, label) in zip(panels, AVERAGES.items(), strict=True):
        panel(axes, np.array(curve[average]), probe, data["against"][average], label, style)
    smooth_lines(panels[0], curve)
    low, high = np.quantile(probe, [OUTSIDE, 1 - OUTSIDE])
    margin = 0.05 * (high - low) or 1.0
    panels[0].set_ylim(low - margin, high + margin)
    panels[0].set_ylabel("a*·latent")
    handles, labels = panels[0].get_legend_handles_labels()
    if handles:
        figure.legend(handles, labels, loc="outside lower center", ncols=4)
    return figure


def panel(axes: Axes, average: np.ndarray, probe: np.ndarray, result: dict[str, Any], label: str, style: Style) -> None:
    look = COMPONENTS["sae"]
    axes.plot(average, probe, ".", color=look.colour, ms=2, alpha=0.35, label="latent", rasterized=True)
    high = np.quantile(average, 1 - OUTSIDE)
    axes.plot([0, high], [0, high], color="black", linewidth=0.9, label="equal")
    axes.set_xlim(0, high)
    axes.set_xlabel(label)
    lines = (f"{name} {text(result[key])}" for key, name in (("ratio", "ratio"), ("rank", "rank corr.")))
    axes.set_title("\n".join(lines), fontsize=style.small)


def smooth_lines(axes: Axes, curve: dict[str, Any]) -> None:
    """Over the order of E(w | active), so in its panel alone: the paper's text and the published code."""
    looks = zip(CONVENTIONS, (("error", "-"), ("absent", "--")), ("text", "published code, no intercept"), strict=True)
    for way, (component, line), source in looks:
        axes.plot(
            curve["active"],
            curve[f"smoothed_{way}"],
            color=COMPONENTS[component].colour,
            linestyle=line,
            linewidth=0.6,
            label=f"mean of {curve['windows'][way]} ({source})",
        )


def text(result: dict[str, Any]) -> str:
    if result["value"] is None:
        return "undefined"
    if result["low"] is None:
        return short(result["value"])
    return f"{short(result['value'])} ({short(result['low'])} to {short(result['high'])})"


def short(number: float) -> str:
    return f"{number:,.0f}" if abs(number) >= 100 else f"{number:.2f}"
