"""Options of the stage components."""

from typing import Annotated

from pydantic import Field

from darkmatter.params.types import OneSaeAndOthers, SaePath


class Components(OneSaeAndOthers):
    """Of `further_saes` the errors are explained by the same parents, for the noise of the training seed.

    Attributes:
        parents: SAEs of the three that the stream at `sae` is the sum of (Eq. 16); attn_z may stand for attn_out.
    """

    parents: Annotated[list[SaePath], Field(min_length=3, max_length=3)]
