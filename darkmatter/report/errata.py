"""What the paper says twice and differently, and what does not follow from its own steps: claims with that verdict."""

from collections.abc import Mapping
from typing import Any

from darkmatter.claims import Claim, Passage
from darkmatter.report.numbers import estimate_text, paper_value

Content = dict[str, Any]


def errata(rows: list[Content], ledger: Mapping[str, Claim]) -> list[Content]:
    """One entry for each claim of verdict `paper-inconsistent` that is in the ledger.

    Args:
        rows: of claims.json.
        ledger: id → claim.
    """
    return [
        entry(row, ledger[row["id"]])
        for row in rows
        if row.get("was", row["verdict"]) == "paper-inconsistent" and row["id"] in ledger
    ]


def entry(row: Content, claim: Claim) -> Content:
    numbers = [
        f"{name.replace('_', ' ')} = {estimate_text(estimate)}"
        for name, estimates in row["components"].items()
        for estimate in estimates
    ]
    value = claim.paper_value
    sides = value if isinstance(value, dict) and {*value} == {"here", "there"} else None
    return {
        "id": claim.id,
        "here": passage(claim) | {"says": str(sides["here"]) if sides else paper_value(value)},
        "there": claim.against and passage(claim.against) | {"says": str(sides["there"]) if sides else None},
        "numbers": numbers,
        "why": claim.why,
    }


def passage(found: Passage) -> Content:
    return {"section": found.section, "quote": found.reads or found.quote}
