"""Options of the stage lemmas."""

from typing import Annotated

from pydantic import Field

from darkmatter.params.types import Section


class Lemmas(Section):
    rows: Annotated[int, Field(ge=1000)]
    features: Annotated[int, Field(ge=1)]
    seed: int
