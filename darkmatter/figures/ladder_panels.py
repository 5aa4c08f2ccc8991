"""The panels below Fig. 1 where its SAEs were trained on several budgets: FVU by tokens, and what it tends to."""

from itertools import groupby
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.ticker import FixedLocator, FuncFormatter, NullLocator

from darkmatter.figures.style import COMPONENTS, INTERVAL, Style, legend, log2_axis, name_at, short
from darkmatter.results.ladder import Ladder
from darkmatter.results.load import estimate

SERIES = (("fvu", "error", "FVU"), ("fvu_nonlinear", "nonlinear", "FVU_nonlinear"))
BEYOND = 16  # of the largest budget, where the panel of tokens ends and endless training stands
SAMPLES = 41
LEGEND_ROOM = 0.3  # of the values' range


def ladder_data(ladder: Ladder) -> dict[str, Any]:
    """The rungs, each width's values with endless training, and the numbers that follow, in JSON types."""
    keys = ("name", "d_sae", "seed", "train_tokens")
    points = [{key: sae[key] for key in keys} | {key: estimate(sae, key) for key, *_ in SERIES} for sae in ladder.saes]
    result = {"points": points, "estimates": ladder.estimates, "law": None, "limits": [], "exponents": None}
    if (fit := ladder.fit) is None:
        return result
    first = fit.limits
    later = first.gain * (2.0 ** -first.exponent[:, None] - 1)
    limits = [
        {"d_sae": int(width)}
        | {
            key: {
                "limit": float(first.value[row, place]),
                "gain": float(first.gain[row, place]),
                "doubling": float(later[row, place]),
            }
            for row, (key, *_) in enumerate(SERIES)
        }
        for place, width in enumerate(ladder.rungs.widths)
    ]
    return result | {
        "limits": limits,
        "exponents": {key: float(first.exponent[row]) for row, (key, *_) in enumerate(SERIES)},
        "law": {"asymptote": fit.numbers["asymptote"], "scale": fit.scale, "exponent": fit.exponent},
    }


def ladder_note(ladder: Ladder) -> str:
    """What the lower panels say, in two sentences."""
    budgets = ", ".join(f"{tokens / 1e6:g}M" for tokens in sorted({sae["train_tokens"] for sae in ladder.saes}))
    top = max(sae["train_tokens"] for sae in ladder.saes)
    laws = (
        f" Above: SAEs of one budget. Below: SAEs on {budgets} tokens; FVU and FVU_nonlinear follow y∞ + b·T^−p with "
        "one p for all widths (left), y∞ of FVU a power law in width (right)."
    )
    gap, asymptote = (ladder.estimates[name] for name in ("gap", "asymptote"))
    if asymptote["value"] is None:
        return f"{laws} The asymptote of endless training is withheld: {asymptote['reason']}."
    held = "contexts, seeds and the extrapolation" if "absent" not in asymptote else "seeds and the extrapolation"
    return (
        f"{laws} With endless training the asymptote is {interval(asymptote)} and lies {interval(gap)} above "
        f"FVU_nonlinear; these intervals hold {held}. From {top / 1e6:g}M to {2 * top / 1e6:g}M tokens the asymptote "
        f"would change by {asymptote['doubling']:+.4f}, {'inside' if asymptote['settled'] else 'outside'} its interval."
    )


def interval(number: dict[str, Any]) -> str:
    return f"{number['value']:.3f} ({number['low']:.3f} to {number['high']:.3f})"


def draw_ladder(tokens: Axes, limits: Axes, data: dict[str, Any], style: Style) -> None:
    by_tokens(tokens, data, style)
    by_width(limits, data)


def by_tokens(axes: Axes, data: dict[str, Any], style: Style) -> None:
    """FVU against tokens, a colour for each width, with the fitted curves; marks at the right edge are their limits."""
    points = sorted(data["points"], key=lambda point: (point["d_sae"], point["train_tokens"]))
    widths = sorted({point["d_sae"] for point in points})
    budgets = sorted({point["train_tokens"] for point in points})
    top, edge = max(budgets), float(np.log2(max(budgets) * BEYOND))
    looks = dict(zip(widths, style.series(len(widths)), strict=True))
    fits = {limit["d_sae"]: limit["fvu"] for limit in data["limits"]}
    for width, own in groupby(points, key=lambda point: point["d_sae"]):
        saes, (colour, marker) = list(own), looks[width]
        places = [float(np.log2(sae["train_tokens"])) for sae in saes]
        values = [sae["fvu"]["value"] for sae in saes]
        axes.plot(places, values, color=colour, marker=marker, linestyle="none", label=f"{short(width)} latents")
        if width in fits:
            u = np.geomspace(min(budgets) / top, BEYOND, SAMPLES)
            curve = fits[width]["limit"] + fits[width]["gain"] * u ** -data["exponents"]["fvu"]
            axes.plot(np.log2(u * top), curve, color=colour, linestyle=":")
            axes.plot([edge], [fits[width]["limit"]], color=colour, marker=marker, mfc="white", clip_on=False)
    axes.set_xlim(float(np.log2(min(budgets))) - 0.3, edge)
    axes.xaxis.set_major_locator(FixedLocator([*(float(np.log2(budget)) for budget in budgets), edge]))
    axes.xaxis.set_minor_locator(NullLocator())
    axes.xaxis.set_major_formatter(
        FuncFormatter(lambda place, _: "endless" if place == edge else f"{2**place / 1e6:.1f}M")
    )
    axes.set_xlabel("tokens of training")
    axes.set_ylabel("FVU")
    low, high = axes.get_ylim()
    axes.set_ylim(low, high + LEGEND_ROOM * (high - low))
    legend(axes, ncols=2, loc="upper right")


def by_width(axes: Axes, data: dict[str, Any]) -> None:
    """What training tends to against width, with the law; the asymptote with its interval unless it is withheld."""
    if not data["limits"]:
        axes.set_axis_off()
        axes.text(0.5, 0.5, data["estimates"]["asymptote"]["reason"], ha="center", va="center", wrap=True)
        return
    widths = np.array([limit["d_sae"] for limit in data["limits"]], dtype=float)
    right = float(np.log2(widths.max())) + 3
    for key, component, label in SERIES:
        look = COMPONENTS[component]
        values = [limit[key]["limit"] for limit in data["limits"]]
        marks = {"color": look.colour, "marker": look.marker, "mfc": "white", "linestyle": "none"}
        axes.plot(np.log2(widths), values, label=f"{label}, endless training", **marks)
    law, asymptote, line = data["law"], data["estimates"]["asymptote"], data["estimates"]["line"]
    x = np.linspace(float(np.log2(widths.min())), right, SAMPLES)
    curve = law["asymptote"] + law["scale"] * (2.0**x) ** -law["exponent"]
    axes.plot(x, curve, color=COMPONENTS["error"].colour, linestyle=":")
    for number, component, place in ((asymptote, "absent", right), (line, "nonlinear", right - 0.4)):
        if number["value"] is None:
            continue
        look = COMPONENTS[component]
        bars = [[number["value"] - number["low"]], [number["high"] - number["value"]]]
        axes.errorbar(
            [place], [number["value"]], yerr=bars, color=look.colour, marker="_", capsize=3, elinewidth=INTERVAL
        )
    if asymptote["value"] is None:
        axes.set_title("asymptote withheld, see the note")
    else:
        name_at(axes, right, asymptote["value"], f"asymptote\n{asymptote['value']:.3f}")
    log2_axis(
        axes, "x", [2.0**tick for tick in np.arange(np.log2(widths.min()), right + 0.01, 2)], "width d_sae (latents)"
    )
    axes.set_xlim(x[0] - 0.2, right + 0.2)
    axes.set_ylim(0, None)
    legend(axes)
