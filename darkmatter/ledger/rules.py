"""What a rule may say, and the editions of the ledger that rules belong to.

Results are seen, and a rule turns out to be one that nothing could meet, or nothing fail. Then it is changed in the
open: a new edition of the ledger says when and why, and each claim keeps the rules that judged it before. A rule that
changes without that is found by its SHA-256 (`audit.rules`). The hash covers the estimand by its name: a number that
comes to mean something else gets another name.
"""

import datetime
import json
from collections.abc import Iterator, Sequence
from itertools import pairwise
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, model_validator

from darkmatter.storage.artifacts import sha256_bytes

NAMED = 3  # the edition since which a rule's hash covers the name of its estimand
SnakeCase = Annotated[str, StringConstraints(pattern=r"^[a-z0-9]+(_[a-z0-9]+)*$")]
Name = Annotated[str, StringConstraints(pattern=r"^[a-z0-9]+(-[a-z0-9]+)*$")]
Text = Annotated[str, StringConstraints(min_length=1, pattern=r"^\S(.*\S)?$")]


class LedgerPart(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Region(LedgerPart):
    """Where an interval must lie: low ≤ … ≤ high, an open end where one is absent.

    Attributes:
        every: the estimate is one interval per SAE (layer, pair, …) and each of them must lie there.
        may_be_null: a null estimate (it has its reason) leaves this component out.
        reading: one of several ways to read the claim; it holds where the components of one reading do.
    """

    low: float | None = None
    high: float | None = None
    every: Literal["sae", "layer", "pair", "decile", "regressor"] | None = None
    may_be_null: bool = False
    reading: SnakeCase | None = None

    @model_validator(mode="after")
    def bounded(self) -> "Region":
        if self.low is None and self.high is None:
            raise ValueError("a region needs `low`, `high` or both")
        if self.low is not None and self.high is not None and self.low > self.high:
            raise ValueError(f"low {self.low} exceeds high {self.high}")
        return self

    @property
    def is_sign(self) -> bool:
        return (self.low, self.high) in ((0, None), (None, 0))


class Rule(LedgerPart):
    """What judges a claim; the outcomes of each `test` stand under `tests` in claims.yaml.

    Attributes:
        level: of each interval where all must lie inside, of all together where any lies outside (`joint`); None
            where nothing is sampled.
        resample: what the intervals are taken over; the noise of several sources is combined (`variance`).
        real: per component of the estimand, the region for the paper's own models.
        analogue: the same for another model; None where another model says nothing about the claim.
        otherwise: the verdict when the real regions are missed.
    """

    test: Literal["inside", "same"]
    level: Annotated[float, Field(gt=0.5, lt=1)] | None = None
    resample: list[Literal["context", "sae", "seed", "latent", "token", "row"]] = []
    real: dict[SnakeCase, Region] = {}
    analogue: dict[SnakeCase, Region] | None = None
    otherwise: Literal["differs", "paper-inconsistent"] = "differs"

    @model_validator(mode="after")
    def complete(self) -> "Rule":
        if (self.test == "inside") != bool(self.real):
            raise ValueError("test `inside` needs regions under `real`, test `same` has none")
        if bool(self.level) != bool(self.resample):
            raise ValueError("`level` and `resample` belong together")
        return self


class Estimand(LedgerPart):
    """`name` is the function that turns the files `results` into one estimate per component of the rule.

    Attributes:
        results: below `reports/PROFILE/`; what is below `conf/` is no profile's.
    """

    name: SnakeCase
    computes: Text
    results: list[Text]


class Edition(LedgerPart):
    """A state of the ledger: rules change only from one to the next.

    Attributes:
        date: from which its rules judge.
        why: what the edition is for.
    """

    number: Annotated[int, Field(ge=1)]
    date: datetime.date
    why: Text


class Earlier(LedgerPart):
    """A rule that judged a claim in an earlier edition.

    Attributes:
        edition: the one that it came with.
        estimand: what it judged, where that changed, too.
        why: the reason why it was changed.
    """

    edition: Annotated[int, Field(ge=1)]
    rule: Rule
    estimand: Estimand | None = None
    why: Text


def sha256_of(rule: Rule, estimand: str | None) -> str:
    """SHA-256 of canonical JSON: the rule and the name of what it judges; sorted keys, no spaces, defaults left out.

    Args:
        estimand: None where nothing is computed, and for the hash in results of earlier editions.
    """
    return sha256_of_content(rule.model_dump(exclude_defaults=True) | ({"estimand": estimand} if estimand else {}))


def sha256_of_content(content: dict[str, Any]) -> str:
    """SHA-256 of a rule as results hold it, without defaults."""
    return sha256_bytes(json.dumps(content, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode())


def hashes_of(rule: Rule, estimand: str | None, edition: int) -> list[str]:
    """By what a rule is known in results: before edition NAMED they had the hash of the rule alone."""
    now = sha256_of(rule, estimand)
    return [now] if edition >= NAMED else list(dict.fromkeys((now, sha256_of(rule, None))))


def misnumbered(editions: Sequence[Edition]) -> Iterator[tuple[int, str]]:
    """Editions that are not numbered from 1 in the order of their dates: (index, message)."""
    for index, edition in enumerate(editions):
        if edition.number != index + 1:
            yield index, f"edition {edition.number} stands where edition {index + 1} belongs"
        elif index and edition.date < editions[index - 1].date:
            yield index, f"edition {edition.number} is dated before edition {index}"


def misplaced(earlier: Sequence[Earlier], before: int) -> Iterator[tuple[int, str]]:
    """Earlier rules that are not in the order of their editions, each before the edition `before`: (index, message)."""
    for index, (number, following) in enumerate(pairwise([*(one.edition for one in earlier), before])):
        if number >= following:
            yield index, f"a rule of edition {number} is no earlier one beside that of edition {following}"
