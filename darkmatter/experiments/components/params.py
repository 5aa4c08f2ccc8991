"""Options of the stage components."""

from typing import Annotated

from pydantic import Field

from darkmatter.params.types import Name, SaePath, Section


class Components(Section):
    """`parents`: SAEs of the three that the stream at `sae` is the sum of (Eq. 16); attn_z may stand for attn_out."""

    sae: Name
    parents: Annotated[list[SaePath], Field(min_length=3, max_length=3)]
