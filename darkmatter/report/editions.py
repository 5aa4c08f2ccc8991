"""The editions of the ledger, and the rules that a claim had before: words ready to show."""

from typing import Any

from darkmatter.ledger.claims import Ledger
from darkmatter.ledger.verdicts import said
from darkmatter.report.numbers import estimate_text
from darkmatter.report.summary import VERDICTS
from darkmatter.report.words import Words, words_of

Content = dict[str, Any]


def editions_content(ledger: Ledger) -> list[Content]:
    """Each edition with the claims whose rules it changed or brought."""
    return [
        {
            "number": edition.number,
            "date": edition.date.isoformat(),
            "why": edition.why,
            "changed": [claim.id for claim in ledger.claims if claim.earlier and claim.edition == edition.number],
            "brought": [
                claim.id for claim in ledger.claims if not claim.earlier and 1 < claim.edition == edition.number
            ],
        }
        for edition in ledger.editions
    ]


def earlier_rules(row: Content) -> list[Content]:
    """The rules of earlier editions, first to last, each with its outcome on this run's numbers.

    Args:
        row: of claims.json.
    """
    return [
        {
            "edition": one["edition"],
            "why": one["why"],
            "rule_sha256": one["rule_sha256"],
            "outcome": VERDICTS.get(word := said(one["verdict"], one["analogue"]), word),
            "reason": one["reason"],
            "numbers": [number(name, one, words_of(row)) for name in one["outcomes"]],
        }
        for one in row["earlier"]
    ]


def number(name: str, row: Content, words: Words) -> str:
    """One judged component with what the rule made of it alone."""
    shown = ", ".join(estimate_text(estimate) for estimate in row["components"].get(name, []))
    word = said(row["outcomes"][name]["verdict"], row["outcomes"][name]["analogue"])
    return f"{words.part(name)} {shown}: {VERDICTS.get(word, word)}"
