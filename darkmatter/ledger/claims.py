"""The ledger that people write, claims.yaml: what it may say, and how to read it.

A claim holds the sentence of the paper (quote and locator), the paper's value, the estimand that answers to
it and the rule that judges. The rules of edition 1 were written before the runs they judge; `rule_sha256` is stored
with each verdict, so that a rule changed afterwards shows, unless a new edition says so (`claim_rules`). A quote
carries its SHA-256 and its place in the paper's text, so that whoever has that text finds it again; the text itself is
not part of this repository. Where two passages of the paper contradict each other, that is an erratum: it is listed,
and nothing is tested. What we expect of an experiment of our own is a prediction (`predictions`), outside the claims.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Annotated, Any, Literal

import yaml
from pydantic import Field, StringConstraints, ValidationError, model_validator

from darkmatter.ledger.predictions import Prediction
from darkmatter.ledger.rules import (
    Earlier,
    Edition,
    Estimand,
    LedgerPart,
    Name,
    Rule,
    SnakeCase,
    Text,
    hashes_of,
    misnumbered,
    misplaced,
    sha256_of,
)
from darkmatter.storage.artifacts import ArtifactError, sha256_bytes
from darkmatter.storage.safe_yaml import line_of, load_with_nodes, repeated_keys

CLAIMS = Path("claims.yaml")
ModelName = Annotated[str, StringConstraints(pattern=r"^[a-z0-9.]+(-[a-z0-9.]+)*$")]
Sha256 = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{64}$")]
Kind = Literal["range", "scalar", "ordering", "trend", "analytic", "count"]
EXACT_KINDS = ("analytic", "count")  # need no model: the verdict is the real one in every profile


class ClaimsError(ArtifactError):
    """claims.yaml is missing or breaks its schema; the message names file and line."""


class Locator(LedgerPart):
    """Where a quote stands: `offset` and `length` in characters, `sha256` of its UTF-8 bytes."""

    offset: Annotated[int, Field(ge=0)]
    length: Annotated[int, Field(ge=1)]
    sha256: Sha256


class Passage(LedgerPart):
    """A stretch of the paper, as its text has it; `reads` is the same without the noise of converted formulas."""

    section: Text
    quote: Text
    reads: Text | None = None
    locator: Locator

    @model_validator(mode="after")
    def quote_is_the_located_one(self) -> "Passage":
        if (len(self.quote), sha256_bytes(self.quote.encode())) != (self.locator.length, self.locator.sha256):
            raise ValueError("the quote has not the length and sha256 of its locator")
        return self


class Scope(LedgerPart):
    """The models and SAEs of the paper's claim.

    Attributes:
        models: hookpoints, or `all`, per model; empty where the claim needs no model.
        saes: in words.
    """

    models: dict[ModelName, list[Text]]
    saes: Text


class Claim(Passage):
    """One row of the ledger.

    Attributes:
        also: further passages that make the same claim.
        experiment: the stage that supplies the estimand's results.
        edition: of the ledger, the one that the rule came with; `earlier`: the rules before it.
        why: why the rule is as it is; not part of its hash.
        conventions: the switches between the paper's and the authors' way that touch this claim.
        not_computed: of these, why one's other side is not computed; `load_claims` adds the reasons that hold for all.
    """

    id: Name
    kind: Kind
    also: list[Passage] = Field(default_factory=list)
    paper_value: float | Text | dict[SnakeCase, float | Text]
    estimand: Estimand
    scope: Scope
    rule: Rule
    edition: Annotated[int, Field(ge=1)] = 1
    earlier: list[Earlier] = Field(default_factory=list)
    why: Text
    experiment: SnakeCase
    conventions: list[SnakeCase] = Field(default_factory=list)
    not_computed: dict[SnakeCase, Text] = Field(default_factory=dict)

    @model_validator(mode="after")
    def kind_fits(self) -> "Claim":
        analogue = self.rule.analogue
        if self.rule.test == "same":
            raise ValueError("two passages that are compared by reading are an erratum, no claim")
        if self.kind in EXACT_KINDS and (analogue is not None or self.scope.models or self.rule.resample):
            raise ValueError(f"kind `{self.kind}` needs no model: no analogue, no models in scope, nothing resampled")
        if self.kind not in EXACT_KINDS and not self.rule.resample:
            raise ValueError(f"kind `{self.kind}` is estimated: its rule needs `level` and `resample`")
        if self.kind == "scalar" and not all(region.is_sign for region in (analogue or {}).values()):
            raise ValueError("kind `scalar`: another model's value has no analogue but its sign (low: 0 or high: 0)")
        return self

    @property
    def passages(self) -> list[Passage]:
        return [self, *self.also]

    def as_of(self, earlier: Earlier) -> "Claim":
        """The claim as an earlier edition judged it."""
        return self.model_copy(update={"rule": earlier.rule, "estimand": earlier.estimand or self.estimand})


class Says(LedgerPart):
    """What each of two passages says, in a few words."""

    here: Text
    there: Text

    @model_validator(mode="after")
    def differ(self) -> "Says":
        if self.here == self.there:
            raise ValueError("`here` and `there` say the same: no erratum")
        return self


class Erratum(Passage):
    """Two passages of the paper that contradict each other.

    Attributes:
        against: the passage that contradicts the quote.
        says: what the quote (`here`) and the other passage (`there`) say.
        why: what shows that they speak of the same thing.
        earlier: rules by which earlier editions counted it among the tests.
    """

    id: Name
    against: Passage
    says: Says
    why: Text
    earlier: list[Earlier] = Field(default_factory=list)

    @property
    def passages(self) -> list[Passage]:
        return [self, self.against]


class Paper(LedgerPart):
    """The source text: SHA-256 of its UTF-8 bytes, and its length in characters."""

    title: Text
    sha256: Sha256
    characters: Annotated[int, Field(ge=1)]


class Outcomes(LedgerPart):
    agrees: Text
    disagrees: Text
    inconclusive: Text


class Switch(LedgerPart):
    """A convention on which paper and published code differ.

    Attributes:
        varies: which part of a variant (`estimands.evidence.Variant`) has its other side.
        not_computed: why no claim is computed under its other side.
    """

    paper: Text
    authors: Text
    varies: Literal["split", "convention", "fvu", "rows"] | None = None
    not_computed: Text | None = None

    @model_validator(mode="after")
    def has_another_side_or_a_reason(self) -> "Switch":
        if bool(self.varies) == bool(self.not_computed):
            raise ValueError("a convention has either `varies` or the reason under `not_computed`")
        return self


class Ledger(LedgerPart):
    paper: Paper
    editions: Annotated[list[Edition], Field(min_length=1)]
    tested: int
    tests: dict[Literal["inside", "same"], Outcomes]
    conventions: dict[SnakeCase, Switch]
    claims: list[Claim]
    errata: list[Erratum] = Field(default_factory=list)
    predictions: list[Prediction] = Field(default_factory=list)


def load_claims(path: Path = CLAIMS) -> Ledger:
    """Read and check the ledger.

    Raises:
        ClaimsError: one line per problem, each with its place in the file.
    """
    try:
        text = path.read_text(encoding="utf-8")
        content, root = load_with_nodes(text)
    except FileNotFoundError:
        raise ClaimsError(f"{path} does not exist here. Run from the repository.") from None
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise ClaimsError(f"{path} is not valid YAML: {error}") from None
    problems = list(repeated_keys(root))
    if not problems:
        try:
            ledger = Ledger.model_validate(content)
            problems = [(line_of(root, place), message) for place, message in inconsistencies(ledger)]
        except ValidationError as error:
            problems = [(line_of(root, item["loc"]), describe(item)) for item in error.errors()]
    if problems:
        raise ClaimsError("; ".join(f"{path}:{line}: {message}" for line, message in problems))
    return ledger.model_copy(update={"claims": [with_reasons(claim, ledger.conventions) for claim in ledger.claims]})


def with_reasons(claim: Claim, switches: Mapping[str, Switch]) -> Claim:
    """The claim with the reasons of the conventions that no claim is computed under the other side of."""
    general = {name: switches[name].not_computed for name in claim.conventions if switches[name].not_computed}
    return claim.model_copy(update={"not_computed": general | claim.not_computed})


def inconsistencies(ledger: Ledger) -> Iterator[tuple[tuple[str | int, ...], str]]:
    """What no claim can know alone: (place, message)."""
    seen: set[str] = set()
    for index, claim in enumerate(ledger.claims):
        if claim.id in seen:
            yield ("claims", index, "id"), f"id {claim.id!r} is used twice"
        seen.add(claim.id)
        if unknown := set(claim.conventions) - ledger.conventions.keys():
            yield ("claims", index, "conventions"), f"{claim.id}: unknown convention {sorted(unknown)[0]!r}"
        for name in claim.not_computed:
            if name not in claim.conventions:
                yield ("claims", index, "not_computed"), f"{claim.id}: {name!r} is not one of its conventions"
            elif name in ledger.conventions and ledger.conventions[name].not_computed:
                yield ("claims", index, "not_computed"), f"{claim.id}: {name!r} has its reason under `conventions`"
        if claim.rule.test not in ledger.tests:
            yield ("claims", index, "rule", "test"), f"{claim.id}: `tests` does not say what {claim.rule.test!r} means"
    for index, erratum in enumerate(ledger.errata):
        if erratum.id in seen:
            yield ("errata", index, "id"), f"id {erratum.id!r} is used twice"
        seen.add(erratum.id)
    for index, prediction in enumerate(ledger.predictions):
        if prediction.id in seen:
            yield ("predictions", index, "id"), f"id {prediction.id!r} is used twice"
        seen.add(prediction.id)
    yield from ((("editions", index, "number"), message) for index, message in misnumbered(ledger.editions))
    yield from edition_problems(ledger)
    if ledger.tested != len(ledger.claims):
        yield ("tested",), f"tested: {ledger.tested}, but {len(ledger.claims)} claims are listed"


def edition_problems(ledger: Ledger) -> Iterator[tuple[tuple[str | int, ...], str]]:
    """Rules that belong to no edition, or to the wrong one: (place, message)."""
    last = len(ledger.editions)
    for index, claim in enumerate(ledger.claims):
        if claim.edition > last:
            yield ("claims", index, "edition"), f"{claim.id}: there is no edition {claim.edition}"
        for number, message in misplaced(claim.earlier, claim.edition):
            yield ("claims", index, "earlier", number, "edition"), f"{claim.id}: {message}"
        known = [*(claim.as_of(one) for one in claim.earlier), claim]
        for number, (one, following) in enumerate(pairwise(known)):
            if (one.rule, one.estimand) == (following.rule, following.estimand):
                yield ("claims", index, "earlier", number), f"{claim.id}: the rule that follows is the same"
    for index, erratum in enumerate(ledger.errata):
        for number, message in misplaced(erratum.earlier, last):
            yield ("errata", index, "earlier", number, "edition"), f"{erratum.id}: {message}"


def describe(item: Any) -> str:
    """One pydantic error as `place: message`."""
    place = ".".join(str(part) for part in item["loc"])
    message = "unknown key" if item["type"] == "extra_forbidden" else re.sub(r"^Value error, ", "", item["msg"])
    return f"{place}: {message}"


def rule_sha256(claim: Claim) -> str:
    """SHA-256 of the rule that judges the claim now, and of the name of its estimand."""
    return sha256_of(claim.rule, claim.estimand.name)


def present_hashes(claim: Claim) -> list[str]:
    """What results may call the rule that judges the claim now, its hash first."""
    return hashes_of(claim.rule, claim.estimand.name, claim.edition)


def earlier_hashes(row: Claim | Erratum) -> dict[str, int]:
    """What results may call a rule that judged the row before → the edition of that rule."""
    result: dict[str, int] = {}
    for one in row.earlier:
        name = row.as_of(one).estimand.name if isinstance(row, Claim) else None
        result |= dict.fromkeys(hashes_of(one.rule, name, one.edition), one.edition)
    return result


def check_quotes(claims: Sequence[Claim | Erratum], source_text: str) -> list[str]:
    """Ids of the claims and errata of which a quote does not stand in `source_text` at its offset, with its SHA-256."""

    def stands(passage: Passage) -> bool:
        place = passage.locator
        result = source_text[place.offset : place.offset + place.length]
        return result == passage.quote and sha256_bytes(result.encode()) == place.sha256

    return [claim.id for claim in claims if not all(stands(passage) for passage in claim.passages)]
