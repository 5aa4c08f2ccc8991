"""Options of the stage downstream."""

from typing import Annotated, Literal

from pydantic import Field

from darkmatter.params.types import Name, Section


class Downstream(Section):
    """`controls`: the parts of the error whose norms the random vectors take."""

    saes: Annotated[list[Name], Field(min_length=1, max_length=6)]
    controls: list[Literal["linear", "nonlinear"]]
    contexts: Annotated[int, Field(ge=2)]
    seed: int
