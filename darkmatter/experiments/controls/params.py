"""Options of the stage controls."""

from typing import Annotated

from pydantic import Field

from darkmatter.params.types import Count, Name, Section, Share


class Controls(Section):
    contexts: Annotated[int, Field(ge=4)]
    sae: Name
    planted_shares: list[Share]
    features: Count
    feature_probability: Annotated[float, Field(gt=0, lt=1)]
    seed: int
