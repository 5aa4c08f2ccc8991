"""Options of the stage error_saes."""

from typing import Annotated

from pydantic import Field

from darkmatter.params.types import Count, Name, Section


class ErrorSaes(Section):
    sae: Name
    train_contexts: Count
    train_tokens: Count
    d_sae: Annotated[int, Field(ge=2)]
    k: Count
    seeds: Annotated[list[int], Field(min_length=1)]
