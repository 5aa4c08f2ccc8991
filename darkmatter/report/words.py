"""Plain words for the claims, and the order in which the page tells them: words.yaml and story.yaml."""

import functools
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml
from pydantic import BaseModel, ConfigDict, Field

from darkmatter.report.numbers import paper_value

FOLDER = Path(__file__).parent


@dataclass(frozen=True)
class Words:
    """What the page calls a claim.

    Attributes:
        plain: the paper's sentence, said plainly.
        paper: the paper's value.
        parts: component → its name.
    """

    plain: str
    paper: str
    parts: Mapping[str, str] = field(default_factory=dict)

    def part(self, component: str) -> str:
        return self.parts.get(component, component.replace("_", " "))


class Part(BaseModel):
    """One section of the paper, with the claims and figures that stand in it."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    title: str
    paper: str
    claims: list[str]
    figures: list[str]


class Outline(BaseModel):
    """The order of the page.

    Attributes:
        headline: claim → its short name.
        first_claim: the one that the first figure is drawn for.
        mathematics: errata that are no mere slips.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    headline: dict[str, str] = Field(min_length=1)
    first_figure: str
    first_claim: str
    sections: list[Part]
    appendix: list[Part]
    mathematics: list[str]

    @property
    def placed(self) -> list[str]:
        """The figures and tables of the paper, in order; what is left is beyond it."""
        parts = (*self.sections, *self.appendix)
        return [self.first_figure, *(name for part in parts for name in part.figures)]


@functools.cache
def known_words() -> Mapping[str, Words]:
    """Claim → its plain words."""
    content = yaml.safe_load((FOLDER / "words.yaml").read_text(encoding="utf-8"))
    return {name: Words(**one) for name, one in content.items()}


@functools.cache
def outline() -> Outline:
    """The order of the page."""
    return Outline.model_validate(yaml.safe_load((FOLDER / "story.yaml").read_text(encoding="utf-8")))


def words_of(row: Mapping[str, Any]) -> Words:
    """The words of a claim; of one that has none, the paper's own.

    Args:
        row: of claims.json.
    """
    return known_words().get(row["id"]) or bare_words(row)


def bare_words(row: Mapping[str, Any]) -> Words:
    """A claim in the words of the paper, its components by their names in the ledger, as commands take them."""
    return Words(row["reads"], paper_value(row["paper_value"]))
