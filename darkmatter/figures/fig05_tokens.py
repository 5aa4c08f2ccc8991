"""Fig. 5: squared error norm of each width on a run of tokens, with the mean nonlinear error."""

from typing import Any

from matplotlib.figure import Figure

from darkmatter.figures.style import COMPONENTS, DOUBLE, Style
from darkmatter.figures.token_norms import draw_series, token_data
from darkmatter.params.schema import Params
from darkmatter.results.load import Results

TITLE = "Error norms token by token"
CAPTION = (
    "Squared error norm of every width on consecutive tokens of one context, on a logarithmic axis; dash-dotted: the "
    "mean squared norm of NonlinearError over all tokens and widths."
)
PAPER = "Fig. 5, section 4.4"


def data(results: Results, params: Params) -> dict[str, Any]:
    result = token_data(results, ("error_sq",))
    means = [sae["mean_nonlinear_sq"] for sae in result["saes"] if sae["mean_nonlinear_sq"] is not None]
    return result | {"mean_nonlinear_sq": sum(means) / len(means) if means else None}


def draw(data: dict[str, Any], style: Style) -> Figure:
    figure = style.figure(DOUBLE, 2.6)
    axes = figure.add_subplot()
    draw_series(axes, data, "error_sq", style)
    if data["mean_nonlinear_sq"]:
        look = COMPONENTS["nonlinear"]
        axes.axhline(
            data["mean_nonlinear_sq"], color=look.colour, linestyle=look.line, linewidth=1.8, label="mean ‖nonlinear‖²"
        )
    axes.set_xlabel("position of the token in its context")
    axes.set_ylabel("‖SaeError‖²")
    figure.legend(loc="outside right center", title="width", alignment="left")
    return figure
