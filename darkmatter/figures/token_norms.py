"""Per-token norms of a run of tokens (Figs. 5 and 12): what both figures select and how they draw a run.

A token has two points, its norm at the narrowest and at the widest SAE, and a stem between them.
"""

from typing import Any

from matplotlib.axes import Axes
from matplotlib.font_manager import FontProperties, findfont, get_font

from darkmatter.figures.style import INTERVAL, Component, Style, log10_axis
from darkmatter.results.load import NotDrawn, Results

LONGEST = 11  # characters of a token below the axis
SIGNS = {"\n": "↵", "\r": "↵", "\t": "→"}


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


def ends(data: dict[str, Any]) -> list[dict[str, Any]]:
    """The narrowest and the widest SAE; the only one where there is no other."""
    return [data["saes"][0], data["saes"][-1]] if len(data["saes"]) > 1 else data["saes"]


def draw_run(axes: Axes, data: dict[str, Any], part: str, shown: slice, look: Component) -> None:
    """The tokens of a slice: hollow at the narrowest SAE, filled at the widest; a null or zero has no point."""
    saes = ends(data)
    heights = [[value if value else float("nan") for value in sae[part][shown]] for sae in saes]
    places = range(len(heights[0]))
    pair = {"color": look.colour, "linestyle": "none", "ms": 4, "mew": INTERVAL}
    if len(saes) > 1:
        axes.vlines(places, *heights, color=look.colour, linewidth=INTERVAL, alpha=0.6)
        axes.plot(places, heights[0], marker="o", mfc="white", label=f"{saes[0]['d_sae']:,} latents", **pair)
    axes.plot(places, heights[-1], marker="o", label=f"{saes[-1]['d_sae']:,} latents", **pair)
    log10_axis(axes)
    axes.set_xlim(-0.8, len(heights[0]) - 0.2)


def name_tokens(axes: Axes, data: dict[str, Any], shown: slice, style: Style) -> None:
    """The text of each token below its points."""
    words = [visible(token) for token in data["text"][shown]]
    axes.set_xticks(range(len(words)), words, rotation=90, fontsize=style.small * 0.85)
    axes.tick_params(axis="x", length=2, pad=1)


def visible(token: str) -> str:
    """A token as a reader sees it: signs for what is white, short, and only what the font can draw."""
    characters = get_font(findfont(FontProperties(family="DejaVu Sans"))).get_charmap()
    text = "".join(SIGNS.get(sign, sign) for sign in token)
    text = text.strip() or ("␣" * min(len(text), 3))
    text = "".join(sign if ord(sign) in characters else "□" for sign in text)
    return text if len(text) <= LONGEST else text[: LONGEST - 1] + "…"
