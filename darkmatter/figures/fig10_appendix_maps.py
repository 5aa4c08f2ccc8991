"""Fig. 10: the maps over width × L0 at the first appendix hookpoint."""

from typing import Any

from darkmatter.figures.maps import MAP_CAPTION, draw_maps, map_data
from darkmatter.params.schema import Params
from darkmatter.results.load import NotDrawn, Results

TITLE = "The maps at the first appendix hookpoint"
CAPTION = MAP_CAPTION
PAPER = "Fig. 10, appendix A.2"


def data(results: Results, params: Params) -> dict[str, Any]:
    hookpoints = params.figures.appendix_hookpoints
    if len(hookpoints) <= 0:
        raise NotDrawn("figures.appendix_hookpoints has no first hookpoint")
    return map_data(results, hookpoints[0], groups=None)


draw = draw_maps
