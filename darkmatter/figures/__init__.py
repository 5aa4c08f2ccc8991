"""The figures and tables: one module each, named after its output, and the list of them all.

A module has its TITLE (what it is about), its CAPTION, its place in the PAPER, `data`, and `draw` if it is a figure.
Data has the `finding`, which stands above the figure: a sentence made from the numbers, true whatever they are.
"""

from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

from tqdm import tqdm

from darkmatter.figures import (
    fig01_breakdown,
    fig02_maps,
    fig03_layers,
    fig04_per_token_scaling,
    fig05_tokens,
    fig06_norm_test,
    fig07_interpretability,
    fig08_downstream,
    fig09a_pursuit,
    fig09b_components,
    fig10_appendix_maps,
    fig11_appendix_maps,
    fig12_token_parts,
    fig13_baselines,
    fig14_latent_probe,
    fig15_synthetic,
    fig16_nonlinear_scaling,
    figD_random_features,
    figX_architectures,
    figX_ground_truth,
    figX_linear_rank,
    figX_nulls,
    figX_surrogate,
    sec52_error_saes,
    tab1_correlations,
    tabA1_shrinkage,
    tabX_controls,
)
from darkmatter.figures.style import Style, empty
from darkmatter.params.schema import Params
from darkmatter.results.load import NotDrawn, Results
from darkmatter.storage.artifacts import plain, write_json, write_text


@dataclass(frozen=True)
class FigureModule:
    """A figure or table, as its module says it."""

    module: ModuleType

    @property
    def id(self) -> str:
        return self.module.__name__.rsplit(".", 1)[1]

    @property
    def title(self) -> str:
        return self.module.TITLE

    @property
    def caption(self) -> str:
        return self.module.CAPTION

    @property
    def paper(self) -> str:
        """Where it stands in the paper."""
        return self.module.PAPER

    @property
    def is_table(self) -> bool:
        return not hasattr(self.module, "draw")


MODULES = (  # in the order of the report
    fig01_breakdown,
    fig02_maps,
    fig03_layers,
    fig04_per_token_scaling,
    fig05_tokens,
    fig06_norm_test,
    sec52_error_saes,
    fig07_interpretability,
    fig08_downstream,
    fig09a_pursuit,
    fig09b_components,
    fig10_appendix_maps,
    fig11_appendix_maps,
    fig12_token_parts,
    fig13_baselines,
    fig14_latent_probe,
    fig15_synthetic,
    fig16_nonlinear_scaling,
    figD_random_features,
    figX_surrogate,
    figX_linear_rank,
    figX_nulls,
    figX_ground_truth,
    figX_architectures,
    tab1_correlations,
    tabA1_shrinkage,
    tabX_controls,
)
FIGURES = tuple(map(FigureModule, MODULES))


def figure_data(entry: FigureModule, results: Results, params: Params) -> dict[str, Any]:
    """What the figure shows, in JSON types; `{"not_drawn": reason}` where this profile lacks it."""
    try:
        return plain(entry.module.data(results, params))
    except NotDrawn as missing:
        return {"not_drawn": str(missing)}


def figure_svg(entry: FigureModule, data: dict[str, Any], style: Style) -> str:
    with style.context():
        if "not_drawn" in data:
            return style.svg(empty(data["not_drawn"], style), entry.title)
        figure = entry.module.draw(data, style)
        style.title(figure, data["finding"])
        return style.svg(figure, data["finding"])


def write_figures(results: Results, params: Params, folder: Path) -> None:
    """One JSON per figure or table and one SVG per figure, into `folder`."""
    style = Style(params.figures.font_size)
    for entry in tqdm(FIGURES, desc="figures", unit="figure", mininterval=1.0):
        data = figure_data(entry, results, params)
        write_json(folder / f"{entry.id}.json", data)
        if not entry.is_table:
            write_text(folder / f"{entry.id}.svg", figure_svg(entry, data, style))
