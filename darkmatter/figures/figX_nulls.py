"""SAEs that learned nothing beside trained ones: FVU, its nonlinear part, R² of the error vector and of its norm."""
# ruff: noqa: N999 - named after its output, as every figure

from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from darkmatter.figures.paper import NORM_R2, VECTOR_R2, Printed
from darkmatter.figures.style import RULE, Style, paper_range, points_with_intervals
from darkmatter.figures.words import context_note, span, values_of
from darkmatter.params.schema import Params
from darkmatter.results.load import NotDrawn, Results, estimate

TITLE = "Dark matter of SAEs that learned nothing"
CAPTION = (
    "The decomposition of trained SAEs and of three nulls of the same size, seed and budget. Frozen decoder: the "
    "decoder stays as it was drawn, the encoder is trained. Random model: activations of the same architecture, each "
    "weight tensor drawn from a Gaussian with its own mean and deviation, on the same tokens. Gaussian: independent "
    "rows with the mean and covariance of the activations; what stands for a context there is as many rows. What a "
    "null shows as trained SAEs do says little about features: the claims that agree under a null are marked among all "
    "claims."
)
PAPER = "ours"

NAMES = {
    "trained": "trained",
    "frozen_decoder": "frozen\ndecoder",
    "random_model": "random\nmodel",
    "gaussian": "Gaussian",
}
PANELS: dict[str, tuple[str, Printed | None]] = {
    "fvu": ("FVU", None),
    "fvu_nonlinear": ("FVU_nonlinear", None),
    "vector_r2": ("R² of the error vector", VECTOR_R2),
    "norm_r2": ("R² of the error norm", NORM_R2),
}
NAMED = 0.8  # steps at the right, for the name of what the paper prints
SPREAD = 0.24  # between the narrowest and the widest SAE of one null, in steps from null to null


def data(results: Results, params: Params) -> dict[str, Any]:
    result = results.experiment("nulls")
    if not result["nulls"]:
        raise NotDrawn("nulls.saes names no SAE, so the experiment is off")
    rows = [
        {
            "null": row["null"],
            "saes": [
                {"name": sae["name"], "d_sae": sae["d_sae"]} | {key: estimate(sae, key) for key in PANELS}
                for sae in row["saes"]
            ],
        }
        for row in result["nulls"]
    ]
    return {
        "finding": finding(rows),
        "note": f"{context_note(results, result['hookpoint'], params)} Nulls: one seed each.",
        "nulls": rows,
    }


def finding(rows: list[dict[str, Any]]) -> str:
    """The two R² of the paper, of trained SAEs and over all nulls."""
    trained, nulls = [rows[0]], rows[1:]

    def values(key: str, of: list[dict[str, Any]]) -> str:
        return span(values_of(sae[key] for row in of for sae in row["saes"]))

    return (
        f"A linear map explains {values('vector_r2', trained)} of the error vector of trained SAEs and "
        f"{values('vector_r2', nulls)} where nothing was learned; of the error norm it is {values('norm_r2', trained)} "
        f"and {values('norm_r2', nulls)}"
    )


def draw(data: dict[str, Any], style: Style) -> Figure:
    figure = style.figure(4.6)
    panels = figure.subplots(2, 2, sharex=True).flat
    for axes, (key, (label, printed)) in zip(panels, PANELS.items(), strict=True):
        draw_panel(axes, data["nulls"], key, style)
        axes.set_ylabel(label)
        axes.set_ylim(min(0.0, axes.get_ylim()[0]), 1.0 if printed else 1.06 * axes.get_ylim()[1])
        if printed:
            paper_range(axes, printed.low, printed.high, "the paper")
    handles, labels = figure.axes[0].get_legend_handles_labels()
    if handles:
        figure.legend(handles, labels, loc="outside lower left", ncols=len(handles))
    return figure


def draw_panel(axes: Axes, rows: list[dict[str, Any]], key: str, style: Style) -> None:
    """One number of every SAE: nulls side by side, widths beside each other within a null."""
    widths = [sae["d_sae"] for sae in rows[0]["saes"]]
    for number, (width, (colour, marker)) in enumerate(zip(widths, style.series(len(widths)), strict=True)):
        aside = SPREAD * (number - (len(widths) - 1) / 2) / max(1, len(widths) - 1)
        points_with_intervals(
            axes,
            [place + aside for place in range(len(rows))],
            [row["saes"][number][key] for row in rows],
            color=colour,
            marker=marker,
            linestyle="none",
            label=f"{width:,} latents",
        )
    axes.axvline(0.5, color=RULE, linewidth=0.6)
    axes.set_xticks(range(len(rows)), [NAMES[row["null"]] for row in rows])
    axes.set_xlim(-0.5, len(rows) - 0.5 + NAMED)
