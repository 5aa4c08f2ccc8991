"""Fig. 14: the probe of a reconstruction's norm along each latent against that latent's average activation."""

from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from darkmatter.figures.style import COMPONENTS, INK, Style
from darkmatter.figures.words import decimals, level_of
from darkmatter.params.conventions import CONVENTIONS, PRIMARY
from darkmatter.params.schema import Params
from darkmatter.results.load import NotDrawn, Results

TITLE = "The norm probe along each latent"
CAPTION = (
    "The probe a* of ‖Sae(x) − b_dec‖² times the direction of each latent. Left: against that latent's mean "
    "activation where it is active, the paper's comparison. Right: against E(wg)/E(w), the quantity that C.2's sum "
    "holds. On the line both are equal, as the paper sees them in its figure. Curve and band: mean and quartiles of "
    "neighbouring latents, as many in each group. Ratio: median over latents of a*·latent over the average, with its "
    "interval over latents. At each end of an axis up to 0.5 % of the points lie outside."
)
PAPER = "Fig. 14, appendix C.2"

AVERAGES = {"active": "E(w | active)", "mean": "E(w)", "second": "E(w²) / E(w)", "product": "E(wg) / E(w)"}
LARGE, BESIDE = "active", "product"
OUTSIDE = 0.005  # share of points at each end that may lie beyond an axis: a few would flatten the rest
GROUPS = 12  # of the curve; fewer where a group would have fewer latents than this
SMALLEST = 10


def data(results: Results, params: Params) -> dict[str, Any]:
    result = results.experiment("latent_probe")
    counts, curve = result["latents"], result["curve"]
    if not curve["latent"]:
        raise NotDrawn(f"no latent of {result['sae']} fired {counts['min_firings']} times")
    split, convention = PRIMARY
    against = {average: result["against"][split][convention][average] for average in AVERAGES}
    return {
        "finding": finding(against),
        "note": f"{result['sae']}: {counts['compared']:,} of {counts['all']:,} latents; {counts['never_fired']:,} "
        f"never fired, {counts['below_min_firings']:,} fired fewer than {counts['min_firings']} times on "
        f"{result['rows']:,} tokens; {len(curve['latent']):,} drawn, evenly over their order. Probe "
        f"fitted on the token split, with intercept; {level_of(params)} intervals over latents. With "
        "g = latent·(Sae(x) − b_dec) the squared norm is Σ wg; g is w where latents are orthogonal. "
        f"{premise(result, split, convention)} "
        f"Spearman's rank correlations: {ranks(against)}.",
        "latents": counts,
        "against": against,
        "probe_r2": {way: result["probe_r2"][split][way] for way in CONVENTIONS},
        "smooth": {average: smooth(curve[average], curve["probe_paper"]) for average in (LARGE, BESIDE)},
        "curve": curve,
    }


def finding(against: dict[str, Any]) -> str:
    mean, product = (against[average]["ratio"]["value"] for average in (LARGE, BESIDE))
    if mean is None or product is None:
        return "The median of a*·latent over an average of the latent is undefined"
    return f"a*·latent is {short(mean)} times a latent's mean activation and {short(product)} times its E(wg)/E(w)"


def ranks(against: dict[str, Any]) -> str:
    return ", ".join(f"{decimals(against[name]['rank']['value'])} for {label}" for name, label in AVERAGES.items())


def smooth(average: list[float], probe: list[float]) -> list[dict[str, float]]:
    """Groups of neighbouring latents: their mean average, and mean and quartiles of the probe along them."""
    order = np.argsort(average, kind="stable")
    groups = np.array_split(order, max(min(GROUPS, len(order) // SMALLEST), 1))
    x, y = np.array(average), np.array(probe)
    return [
        {
            "average": float(x[group].mean()),
            "mean": float(y[group].mean()),
            "low": float(np.quantile(y[group], 0.25)),
            "high": float(np.quantile(y[group], 0.75)),
            "latents": len(group),
        }
        for group in groups
    ]


def premise(result: dict[str, Any], split: str, convention: str) -> str:
    """What the two ratios say of B.1, whose argument is that a latent's share of the norm is its own square."""
    second, product = (result["against"][split][convention][name]["ratio"]["value"] for name in ("second", "product"))
    if second is None or product is None:
        return "Too few latents to say what follows for B.1's premise."
    return (
        "B.1 takes latents as almost orthogonal, and then E(w²)/E(w) and E(wg)/E(w) are one. The ratio is "
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
    figure = style.figure(3.6)
    large, beside = figure.subplots(1, 2, sharey=True, width_ratios=(1.9, 1))
    probe = np.array(data["curve"]["probe_paper"])
    for axes, average in ((large, LARGE), (beside, BESIDE)):
        panel(axes, data, average, probe)
    low, high = np.quantile(probe, [OUTSIDE, 1 - OUTSIDE])
    margin = 0.05 * (high - low) or 1.0
    large.set_ylim(low - margin, high + margin)
    large.set_ylabel("a*·latent")
    figure.legend(*large.get_legend_handles_labels(), loc="outside lower left", ncols=4)
    return figure


def panel(axes: Axes, data: dict[str, Any], average: str, probe: np.ndarray) -> None:
    points, curve = COMPONENTS["sae"], COMPONENTS["error"]
    shown = np.array(data["curve"][average])
    axes.plot(shown, probe, ".", color=points.colour, ms=3.5, alpha=0.4, mew=0, label="latent", rasterized=True)
    high = float(np.quantile(shown, 1 - OUTSIDE)) or 1.0
    axes.plot([0, high], [0, high], color=INK, linewidth=1.1, label="equal (paper)")
    x, mean, low, top = (
        [group[key] for group in data["smooth"][average]] for key in ("average", "mean", "low", "high")
    )
    axes.fill_between(x, low, top, color=curve.colour, alpha=0.25, linewidth=0, label="quartiles of neighbours")
    axes.plot(x, mean, color=curve.colour, label="mean of neighbours", **({"marker": "o"} if len(x) == 1 else {}))
    axes.set_xlim(0, high)
    axes.set_xlabel(AVERAGES[average])
    axes.set_title(f"ratio {text(data['against'][average]['ratio'])}")


def text(result: dict[str, Any]) -> str:
    if result["value"] is None:
        return "undefined"
    if result["low"] is None:
        return short(result["value"])
    return f"{short(result['value'])} ({short(result['low'])} to {short(result['high'])})"


def short(number: float) -> str:
    return f"{number:,.0f}" if abs(number) >= 100 else f"{number:.2f}"
