"""Options of the stage components."""

from typing import Annotated

from pydantic import Field

from darkmatter.params.types import Name, SaePath, Section


class Components(Section):
    """`parents`: SAEs of what the residual stream at `sae` is the sum of (Eq. 16); of attention, attn_out or attn_z."""

    sae: Name
    parents: Annotated[list[SaePath], Field(min_length=1)]
