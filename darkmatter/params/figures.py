"""Options of the figures: which hookpoints and groups of SAEs they draw, and the claims are judged on."""

from typing import Annotated

from pydantic import Field

from darkmatter.params.types import Hookpoint, Name, Section


class Figures(Section):
    main_hookpoint: Hookpoint
    widths_group: Name
    grid_groups: list[Name]
    layers_groups: Annotated[list[Name], Field(min_length=1)]
    appendix_hookpoints: list[Hookpoint]
    power_law_starts: Annotated[int, Field(ge=1)]
    seed: int
    font_size: Annotated[float, Field(gt=0)]
