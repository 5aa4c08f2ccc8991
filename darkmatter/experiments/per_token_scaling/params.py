"""Options of the stage per_token_scaling."""

from typing import Annotated

from pydantic import Field

from darkmatter.params.types import Name, Section


class PerTokenScaling(Section):
    groups: list[Name]
    tokens_shown: Annotated[int, Field(ge=1)]
