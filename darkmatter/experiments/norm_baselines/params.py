"""Options of the stage norm_baselines."""

from typing import Annotated

from pydantic import Field

from darkmatter.params.types import Name, Section


class NormBaselines(Section):
    groups: Annotated[list[Name], Field(min_length=1)]
