"""Fig. 10: the maps over width × L0 at the first appendix hookpoint."""

from typing import Any

from darkmatter.figures.maps import MAP_CAPTION, appendix_map, draw_maps
from darkmatter.params.schema import Params
from darkmatter.results.load import Results

TITLE = "The maps at the first appendix hookpoint"
CAPTION = MAP_CAPTION
PAPER = "Fig. 10, appendix A.2"


def data(results: Results, params: Params) -> dict[str, Any]:
    return appendix_map(results, params, 0)


draw = draw_maps
