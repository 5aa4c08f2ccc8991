"""Flat rows for DVC's own plots, which read one list of equal records: `dvc plots show`, `diff`, and editors.

They hold names and numbers of SAEs, and no token text: DVC writes what it plots into a page unescaped.
"""

from typing import Any

from darkmatter.params.schema import Params
from darkmatter.results.breakdown import width_series
from darkmatter.results.headline import METRICS
from darkmatter.results.load import NotDrawn, Results, Sae, estimate, one_per_cell

Rows = list[dict[str, Any]]


def plot_rows(results: Results, params: Params) -> dict[str, Rows]:
    """File name → the SAEs it shows, one per row, at the main hookpoint; none where this profile lacks them."""
    chosen = params.figures
    try:
        series, _ = width_series(results, chosen.main_hookpoint, chosen.widths_group)
        grid, _ = one_per_cell(results.saes(chosen.main_hookpoint, chosen.grid_groups))
    except NotDrawn:
        series, grid = [], []
    return {"width_series": [row(sae) for sae in series], "width_l0_map": [row(sae) for sae in grid if sae["l0"]]}


def row(sae: Sae) -> dict[str, Any]:
    known = {key: sae[key] for key in ("name", "d_sae", "k", "l0")}
    return known | {metric: estimate(sae, metric)["value"] for metric in METRICS}
