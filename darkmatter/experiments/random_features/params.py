"""Options of the stage random_features."""

from typing import Annotated

from pydantic import AfterValidator, Field, model_validator

from darkmatter.params.types import Count, Section, rising_from_zero


class RandomFeatures(Section):
    features: Count
    d_model: Count
    expected_l0: Annotated[float, Field(gt=0)]
    power_law: Annotated[float, Field(gt=0)]
    rows: Count
    masked_shares: Annotated[
        list[Annotated[float, Field(ge=0, le=1)]], Field(min_length=4), AfterValidator(rising_from_zero)
    ]
    seeds: Annotated[list[int], Field(min_length=2)]

    @model_validator(mode="after")
    def feasible(self) -> "RandomFeatures":
        if self.expected_l0 >= self.features:
            raise ValueError(f"`expected_l0` {self.expected_l0} needs more than {self.features} features")
        return self
