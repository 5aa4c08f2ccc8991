"""Steps and learning rate of one training run."""

import math
from dataclasses import dataclass

from darkmatter.params.saes import Training
from darkmatter.params.types import ParamsError


@dataclass(frozen=True)
class Schedule:
    """How long and how fast an SAE is trained.

    learning rate = learning_rate · sqrt(learning_rate_d_sae / d_sae), at most learning_rate_max; linear warm-up,
    constant, linear decay to zero over the last decay_share of the steps.
    """

    steps: int
    batch_size: int
    learning_rate: float
    warm_up_steps: int
    decay_steps: int

    @classmethod
    def of(cls, training: Training, d_sae: int, train_tokens: int) -> "Schedule":
        """The schedule of one training run.

        Raises:
            ParamsError: warm-up and decay do not fit into the steps that `train_tokens` allows.
        """
        steps = max(1, round(train_tokens / training.batch_size))
        decay = round(training.decay_share * steps)
        if training.warm_up_steps + decay > steps:
            raise ParamsError(
                f"saes: {train_tokens} tokens are {steps} steps of {training.batch_size}, too few for "
                f"{training.warm_up_steps} warm-up steps and {decay} of decay. Raise train_tokens."
            )
        rate = training.learning_rate * math.sqrt(training.learning_rate_d_sae / d_sae)
        return cls(steps, training.batch_size, min(rate, training.learning_rate_max), training.warm_up_steps, decay)

    @property
    def tokens(self) -> int:
        return self.steps * self.batch_size
