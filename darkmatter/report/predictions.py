"""What was predicted of the experiments that the paper does not have, and what became of it."""

from collections.abc import Mapping
from typing import Any

from darkmatter.report.outcomes import ANSWERS, values_text

Content = dict[str, Any]


def predictions_content(claims: Mapping[str, Any]) -> list[Content]:
    """One row for each prediction of claims.json, in the order of the ledger; none where the profile judges none."""
    return [prediction(row) for row in claims.get("predictions", [])]


def prediction(row: Mapping[str, Any]) -> Content:
    outcome = row["outcome"] or "none"
    judged = {name: region for name, region in row["rule"]["real"].items() if row["components"].get(name)}
    numbers = [(name, values_text(row["components"][name], region)) for name, region in judged.items()]
    return {
        "id": row["id"],
        "says": row["says"],
        "computes": row["computes"],
        "outcome": outcome,
        "answer": ANSWERS[outcome],
        "numbers": [{"label": name, "text": text} for name, text in numbers],
        "reason": row["reason"],
    }
