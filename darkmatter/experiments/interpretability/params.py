"""Options of the stage interpretability."""

from typing import Annotated

from pydantic import Field, StringConstraints, model_validator

from darkmatter.params.types import Count, Section


class Interpretability(Section):
    """`endpoint` is the base URL of an OpenAI-compatible server; without one the offline surrogate judges.

    `reasoning_tokens`: what the model may write before each answer, beyond the answer's own few tokens.
    """

    endpoint: str | None
    model: str | None
    key_variable: Annotated[str, StringConstraints(pattern=r"^[A-Za-z_]\w*$")]
    dollars_per_million_tokens: tuple[float, float] | None
    max_dollars: Annotated[float, Field(gt=0)] | None
    timeout_seconds: Annotated[float, Field(gt=0)]
    reasoning_tokens: Annotated[int, Field(ge=0)] = 0
    retries: Annotated[int, Field(ge=0)]
    error_sae_seed: int
    latents: Count
    deciles: Annotated[int, Field(ge=2)]
    examples_per_decile: Count
    negatives: Count
    explained_examples: Count
    window: Annotated[int, Field(ge=2)]
    examples_per_prompt: Count
    parallel_calls: Count
    seed: int

    @model_validator(mode="after")
    def complete(self) -> "Interpretability":
        if self.endpoint and not self.model:
            raise ValueError("`endpoint` needs `model`, the name the server knows its model by")
        return self
