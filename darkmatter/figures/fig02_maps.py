"""Fig. 2: the maps over width × L0 at the main hookpoint."""

from typing import Any

from darkmatter.figures.maps import draw_maps, map_data
from darkmatter.params.schema import Params
from darkmatter.results.load import Results


def data(results: Results, params: Params) -> dict[str, Any]:
    return map_data(results, params.figures.main_hookpoint, params.figures.grid_groups)


draw = draw_maps
