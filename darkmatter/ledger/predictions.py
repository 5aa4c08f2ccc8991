"""What we expect of an experiment of our own, written down and committed before it ran.

A prediction is no claim of the paper: it has no quote, and it is not counted among what is tested. A rule judges its
estimand as it does that of a claim. `audit.predictions` asks git whether the prediction was there before the result.
"""

from typing import Annotated

from pydantic import Field, model_validator

from darkmatter.ledger.rules import Estimand, LedgerPart, Name, Rule, SnakeCase, Text, sha256_of_content
from darkmatter.params.types import FileName


class Prediction(LedgerPart):
    """One prediction.

    Attributes:
        says: the statement, in plain words.
        why: what it is expected from.
        profiles: those that it is made for; of others it says nothing.
        rule: its regions stand under `real`.
        experiment: the stage that supplies the estimand's results.
    """

    id: Name
    says: Text
    why: Text
    profiles: Annotated[list[FileName], Field(min_length=1)]
    estimand: Estimand
    rule: Rule
    experiment: SnakeCase

    @model_validator(mode="after")
    def can_be_wrong(self) -> "Prediction":
        if self.rule.test != "inside" or self.rule.level is None:
            raise ValueError("a prediction needs the test `inside`, with `level` and `resample`")
        if self.rule.analogue is not None or self.rule.otherwise != "differs":
            raise ValueError("a prediction is about our own runs: its regions stand under `real` alone")
        return self


def prediction_sha256(prediction: Prediction) -> str:
    """SHA-256 of all that decides the outcome: statement, profiles, rule, and the name of the estimand."""
    return sha256_of_content(
        {
            "says": prediction.says,
            "profiles": prediction.profiles,
            "estimand": prediction.estimand.name,
            "rule": prediction.rule.model_dump(exclude_defaults=True),
        }
    )
