"""Fig. 2: the maps over width × L0 at the main hookpoint."""

from typing import Any

from darkmatter.figures.maps import MAP_CAPTION, draw_maps, map_data
from darkmatter.params.schema import Params
from darkmatter.results.load import Results

TITLE = "Linear predictability over width and L0"
CAPTION = MAP_CAPTION
PAPER = "Fig. 2, sections 4.1–4.3"


def data(results: Results, params: Params) -> dict[str, Any]:
    return map_data(results, params, params.figures.main_hookpoint, params.figures.grid_groups)


draw = draw_maps
