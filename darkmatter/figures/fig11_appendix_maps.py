"""Fig. 11: the maps over width × L0 at the second appendix hookpoint."""

from typing import Any

from darkmatter.figures.maps import MAP_CAPTION, appendix_map, draw_maps
from darkmatter.params.schema import Params
from darkmatter.results.load import Results

TITLE = "The maps at the second appendix hookpoint"
CAPTION = MAP_CAPTION
PAPER = "Fig. 11, appendix A.2"


def data(results: Results, params: Params) -> dict[str, Any]:
    return appendix_map(results, params, 1)


draw = draw_maps
