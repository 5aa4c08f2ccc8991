"""Per-token norms of a run of tokens (Figs. 5 and 12): what both figures select and how they draw a series."""

from typing import Any

from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator

from darkmatter.figures.style import Style, log10_axis, short
from darkmatter.results.load import NotDrawn, Results


def token_data(results: Results, parts: tuple[str, ...]) -> dict[str, Any]:
    """The tokens with these parts of every SAE, by width, and the mean of the parts over all tokens.

    Raises:
        NotDrawn: the profile has no per-token tables.
    """
    scaling = results.experiment("per_token_scaling")
    tokens = scaling["tokens"]
    if not tokens["saes"]:
        raise NotDrawn("no per-token norms: the groups of per_token_scaling hold no SAE")
    saes = sorted(tokens["saes"], key=lambda sae: (sae["d_sae"], sae["name"]))
    means = {part: tokens.get(f"mean_{part}", {}) for part in ("linear_sq", "nonlinear_sq")}
    return {
        "note": f"{scaling['hookpoint']}, evaluation context {tokens['context']}, positions "
        f"{tokens['positions'][0]} to {tokens['positions'][-1]}; squared norms.",
        "context": tokens["context"],
        "positions": tokens["positions"],
        "text": tokens["text"],
        "saes": [
            {"name": sae["name"], "d_sae": sae["d_sae"]}
            | {part: sae[part] for part in parts}
            | {f"mean_{part}": mean.get(sae["name"]) for part, mean in means.items()}
            for sae in saes
        ],
    }


def draw_series(axes: Axes, data: dict[str, Any], part: str, style: Style) -> None:
    """One line per SAE over the positions, on a logarithmic axis; a null or zero leaves a gap."""
    for (colour, _, line), sae in zip(style.series(len(data["saes"])), data["saes"], strict=True):
        heights = [value if value else float("nan") for value in sae[part]]
        axes.plot(data["positions"], heights, color=colour, linestyle=line, linewidth=1.0, label=short(sae["d_sae"]))
    log10_axis(axes)
    axes.margins(x=0.01)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
