"""Options of the stage pursuit."""

from typing import Annotated

from pydantic import Field

from darkmatter.params.types import Name, Section


class Pursuit(Section):
    groups: list[Name]
    contexts: Annotated[int, Field(ge=4)]
