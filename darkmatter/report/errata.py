"""What the paper prints twice and differently, and what does not follow from its own steps."""

from typing import Any

from darkmatter.ledger.claims import Claim, Ledger, Passage
from darkmatter.report.numbers import estimate_text
from darkmatter.report.summary import VERDICTS
from darkmatter.report.words import outline, words_of

Content = dict[str, Any]


def errata(ledger: Ledger) -> list[Content]:
    """Pairs of passages that contradict each other."""
    return [
        {
            "id": erratum.id,
            "here": passage(erratum) | {"says": erratum.says.here},
            "there": passage(erratum.against) | {"says": erratum.says.there},
            "why": erratum.why,
            "mathematics": erratum.id in outline().mathematics,
            "earlier": [
                {"edition": one.edition, "outcome": VERDICTS[one.rule.otherwise], "why": one.why}
                for one in erratum.earlier
            ],
        }
        for erratum in ledger.errata
    ]


def inconsistent(rows: list[Content], ledger: Ledger) -> list[Content]:
    """Claims of the ledger that were tested and came out as `paper-inconsistent`.

    Args:
        rows: of claims.json.
    """
    claims = {claim.id: claim for claim in ledger.claims}
    return [
        entry(row, claims[row["id"]])
        for row in rows
        if row.get("was", row["verdict"]) == "paper-inconsistent" and row["id"] in claims
    ]


def entry(row: Content, claim: Claim) -> Content:
    words = words_of(row)
    numbers = [
        f"{words.part(name)}: {estimate_text(estimate)}"
        for name, estimates in row["components"].items()
        for estimate in estimates
    ]
    here = passage(claim) | {"says": words.plain, "value": words.paper}
    return {"id": claim.id, "here": here, "numbers": numbers, "why": claim.why}


def passage(result: Passage) -> Content:
    return {"section": result.section, "quote": result.reads or result.quote}
