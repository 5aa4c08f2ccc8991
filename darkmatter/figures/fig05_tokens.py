"""Fig. 5: squared error norm of the narrowest and the widest SAE on a run of tokens, with the mean nonlinear error."""

from typing import Any

from matplotlib.figure import Figure
from scipy.stats import spearmanr

from darkmatter.figures.style import COMPONENTS, Style
from darkmatter.figures.token_norms import draw_run, ends, name_tokens, token_data
from darkmatter.figures.words import decimals
from darkmatter.params.schema import Params
from darkmatter.results.load import Results

TITLE = "Error norms token by token"
CAPTION = (
    "Squared error norm on consecutive tokens of one context, whose text stands below, on a logarithmic axis: hollow "
    "at the narrowest SAE, filled at the widest; those between have their values in the file beside the figure. "
    "Dashed: the mean squared norm of NonlinearError over all tokens and widths. One context, so there is no interval. "
    "The paper prints no value of its Fig. 5."
)
PAPER = "Fig. 5, section 4.4"

IN_A_ROW = 50


def data(results: Results, params: Params) -> dict[str, Any]:
    result = token_data(results, ("error_sq",))
    means = [sae["mean_nonlinear_sq"] for sae in result["saes"] if sae["mean_nonlinear_sq"] is not None]
    return {
        "finding": finding(result),
        **result,
        "mean_nonlinear_sq": sum(means) / len(means) if means else None,
    }


def finding(data: dict[str, Any]) -> str:
    saes = ends(data)
    if len(saes) < 2:
        return f"Error norms of {saes[0]['d_sae']:,} latents on {len(data['positions'])} tokens"
    narrow, wide = saes
    pairs = [
        (one, two) for one, two in zip(narrow["error_sq"], wide["error_sq"], strict=True) if None not in (one, two)
    ]
    less = sum(two < one for one, two in pairs)
    first = f"{wide['d_sae']:,} latents leave less error than {narrow['d_sae']:,} on {less} of {len(pairs)} tokens"
    if len(pairs) < 3:
        return first
    rank = float(spearmanr(*zip(*pairs, strict=True)).statistic)
    return f"{first}; the rank correlation of the two over tokens is {decimals(rank)}"


def draw(data: dict[str, Any], style: Style) -> Figure:
    look, mean = COMPONENTS["error"], COMPONENTS["nonlinear"]
    count = len(data["positions"])
    rows = [slice(start, min(start + IN_A_ROW, count)) for start in range(0, count, IN_A_ROW)]
    figure = style.figure(0.7 + 1.9 * len(rows))
    panels = figure.subplots(len(rows), 1, sharey=True, squeeze=False)[:, 0]
    for axes, shown in zip(panels, rows, strict=True):
        draw_run(axes, data, "error_sq", shown, look)
        name_tokens(axes, data, shown, style)
        if data["mean_nonlinear_sq"]:
            label = f"mean ‖NonlinearError‖² of all tokens: {data['mean_nonlinear_sq']:,.0f}"
            axes.axhline(data["mean_nonlinear_sq"], color=mean.colour, linestyle="--", linewidth=1.2, label=label)
        axes.set_xlim(-0.8, IN_A_ROW - 0.2 if len(rows) > 1 else count - 0.2)
        axes.set_ylabel("‖SaeError‖²")
    handles, labels = panels[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower left", ncols=3)
    return figure
