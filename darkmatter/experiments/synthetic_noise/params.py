"""Options of the stage synthetic_noise."""

from typing import Annotated

from pydantic import AfterValidator, Field, model_validator

from darkmatter.params.types import OneSaeAndOthers, Share, rising_from_zero


class SyntheticNoise(OneSaeAndOthers):
    """Each seed draws noise for a part of the `contexts` of its own."""

    contexts: Annotated[int, Field(ge=6)]
    noise_deviations: Annotated[
        list[Annotated[float, Field(ge=0)]], Field(min_length=3), AfterValidator(rising_from_zero)
    ]
    ablated_shares: Annotated[list[Share], Field(min_length=3), AfterValidator(rising_from_zero)]
    seeds: Annotated[list[int], Field(min_length=2)]

    @model_validator(mode="after")
    def divisible(self) -> "SyntheticNoise":
        if self.contexts < 3 * len(self.seeds):
            raise ValueError(
                f"{self.contexts} contexts are too few for {len(self.seeds)} seeds with 3 of their own each"
            )
        return self

    @property
    def contexts_per_seed(self) -> int:
        return self.contexts // len(self.seeds)
