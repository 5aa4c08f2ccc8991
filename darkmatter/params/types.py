"""What every section of the parameters is made of: a model that refuses unknown keys, and the kinds of names."""

from itertools import pairwise
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, model_validator

Name = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9][\w-]*$")]
FileName = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9][\w.-]*$")]
HOOKPOINT = r"(resid_post|attn_out|attn_z|mlp_out)\.\d+"  # what each is: models/hookpoints.py
Hookpoint = Annotated[str, StringConstraints(pattern=rf"^{HOOKPOINT}$")]
SaePath = Annotated[str, StringConstraints(pattern=rf"^{HOOKPOINT}/[A-Za-z0-9][\w-]*$")]
Device = Annotated[str, StringConstraints(pattern=r"^(cpu|mps|cuda(:\d+)?)$")]  # whether it is there: models/device.py
Share = Annotated[float, Field(ge=0, lt=1)]
Count = Annotated[int, Field(ge=1)]
Sha256 = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{64}$")]
Requirement = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9][\w.-]*==[\w.!+-]+$")]


class ParamsError(ValueError):
    """params.yaml is missing or says something that cannot be run; the message names the key."""


class Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class OneSaeAndOthers(Section):
    """What is measured on `sae`, and on `further_saes` beside it; all of them are SAEs of the main hookpoint."""

    sae: Name
    further_saes: Annotated[list[Name], Field(default_factory=list)]

    @model_validator(mode="after")
    def each_once(self) -> "OneSaeAndOthers":
        if len({self.sae, *self.further_saes}) < 1 + len(self.further_saes):
            raise ValueError("`further_saes` names an SAE twice, or `sae` again")
        return self


def rising_from_zero(values: list[float]) -> list[float]:
    if values[0] != 0 or any(later <= earlier for earlier, later in pairwise(values)):
        raise ValueError("begin with 0 and rise: what is planted is compared with its absence")
    return values
