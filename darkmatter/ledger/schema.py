"""What reports/PROFILE/claims.json holds: every claim and prediction with our numbers and what its rule makes of them.

Claims themselves are described in `claims`, their rules in `rules`.
"""

from typing import Literal, NotRequired

from typing_extensions import TypedDict

from darkmatter.ledger.claims import Kind, Sha256
from darkmatter.ledger.rules import Name, Rule, SnakeCase, Text
from darkmatter.ledger.verdicts import Analogue, Outcome, Place, Verdict
from darkmatter.statistics.estimate import Estimate, JointEnds


class Placed(TypedDict, total=False):
    """Where an estimate lies, and what it is of where a component has several (`estimands.experiments.KEYS`)."""

    place: Place
    sae: str
    layer: int | str
    pair: str
    decile: int
    regressor: str


class JudgedEstimate(Estimate, Placed):
    """An estimate of one component."""


class JudgedEnds(Placed):
    """The same without what it was made of."""

    value: float | None
    low: float | None
    high: float | None
    joint: NotRequired[JointEnds]
    reason: NotRequired[str]


class Conclusion(TypedDict):
    """What a rule's outcome means in this profile."""

    verdict: Verdict
    analogue: Analogue


class EarlierRow(Conclusion):
    """What the rule of an earlier edition makes of the numbers of this run.

    Attributes:
        outcomes: of each judged component alone.
        reason: why it stays open, or cannot be judged.
    """

    edition: int
    why: Text
    estimand: SnakeCase
    rule: Rule
    rule_sha256: Sha256
    reason: str | None
    outcomes: dict[SnakeCase, Conclusion]
    components: dict[SnakeCase, list[JudgedEnds]]


class VariantRow(TypedDict):
    """A claim under another split or convention."""

    outcome: Outcome
    outcomes: dict[SnakeCase, Outcome | None]
    components: dict[SnakeCase, list[JudgedEnds]]


class NullRow(TypedDict):
    """A claim on SAEs that learned nothing.

    Attributes:
        touched: whether the null changes what the claim is about.
    """

    outcome: Outcome
    touched: bool
    reason: str | None
    components: dict[SnakeCase, list[JudgedEnds]]


class ClaimRow(Conclusion):
    """One claim of the paper.

    Attributes:
        not_computed: convention → why its other side is not computed.
        judged_by: the regions for the paper's own models, or those for another model.
        out_of_scope: why this profile says nothing final.
        reason: why it stays open, or cannot be judged.
        judge: of the interpretability experiment, where the claim is about it.
        flips: variants whose outcome is another.
        nulls: SAEs that learned nothing, and the trained ones of the same sizes → the same claim on them.
        non_diagnostic: nulls under which the claim agrees, too.
    """

    id: Name
    section: Text
    kind: Kind
    reads: Text
    paper_value: float | Text | dict[SnakeCase, float | Text]
    estimand: SnakeCase
    computes: Text
    results: list[Text]
    conventions: list[SnakeCase]
    not_computed: dict[SnakeCase, Text]
    rule: Rule
    rule_sha256: Sha256
    edition: int
    earlier: list[EarlierRow]
    judged_by: Literal["real", "analogue"]
    out_of_scope: str | None
    reason: str | None
    judge: str | None
    outcomes: dict[SnakeCase, Conclusion]
    components: dict[SnakeCase, list[JudgedEstimate]]
    variants: dict[str, VariantRow]
    flips: list[str]
    nulls: NotRequired[dict[str, NullRow]]
    non_diagnostic: NotRequired[list[str]]


class PredictionRow(TypedDict):
    """What we expected of an experiment of our own; `outcome` is null where this profile cannot judge it."""

    id: Name
    says: Text
    why: Text
    profiles: list[str]
    experiment: SnakeCase
    estimand: SnakeCase
    computes: Text
    results: list[Text]
    rule: Rule
    sha256: Sha256
    outcome: Outcome | None
    reason: str | None
    outcomes: dict[SnakeCase, Outcome | None]
    components: dict[SnakeCase, list[JudgedEstimate]]


Verdicts = TypedDict(
    "Verdicts",
    {
        "reproduced": int,
        "differs": int,
        "paper-inconsistent": int,
        "inconclusive": int,
        "not-testable-in-this-profile": int,
    },
)


class Analogues(TypedDict):
    """How many claims another model speaks for or against."""

    agrees: int
    disagrees: int
    inconclusive: int
    none: int


class ClaimsContent(TypedDict):
    """All claims and predictions, and how many claims came out how."""

    profile: str
    model: str
    tested: int
    verdicts: Verdicts
    analogues: Analogues
    claims: list[ClaimRow]
    predictions: list[PredictionRow]
