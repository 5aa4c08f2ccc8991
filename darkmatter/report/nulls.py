"""Which claims hold where nothing was learned: the table of the page, from claims.json."""

from collections.abc import Mapping, Sequence
from typing import Any

from darkmatter.report.outcomes import ANSWERS, values_text
from darkmatter.report.words import words_of

Content = dict[str, Any]
OPEN = "inconclusive"
NAMES = {  # in the order of the table; the first is no null
    "trained": "trained, the same sizes alone",
    "frozen_decoder": "frozen decoder",
    "random_model": "random model",
    "gaussian": "Gaussian",
}


def nulls_content(rows: Sequence[Mapping[str, Any]]) -> Content:
    """Columns, and one row for each claim that is decided somewhere; with so few SAEs some stay open everywhere.

    Args:
        rows: of claims.json.
    """
    judged = [row for row in rows if any(one["outcome"] != OPEN for one in row.get("nulls", {}).values())]
    return {
        "columns": [name for null, name in NAMES.items() if any(null in row["nulls"] for row in judged)],
        "rows": [
            {
                "id": row["id"],
                "plain": words_of(row).plain,
                "cells": [cell(row, null) for null in NAMES if any(null in other["nulls"] for other in judged)],
                "non_diagnostic": bool(row["non_diagnostic"]),
            }
            for row in judged
        ],
    }


def cell(row: Mapping[str, Any], null: str) -> Content | None:
    """What became of a claim under one null, with its judged numbers; None where it has none."""
    found = row["nulls"].get(null)
    if found is None:
        return None
    words, regions = words_of(row), row["rule"].get(row["judged_by"]) or {}
    numbers = {name: found["components"][name] for name in regions if found["components"].get(name)}
    return {
        "outcome": found["outcome"],
        "answer": ANSWERS[found["outcome"]],
        "touched": found["touched"],
        "numbers": [
            {"label": words.part(name), "text": values_text(estimates, regions[name])}
            for name, estimates in numbers.items()
        ],
    }


def null_note(row: Mapping[str, Any]) -> list[str]:
    """What a claim's own row says of it: that it holds where nothing was learned."""
    agreeing = [NAMES[null] for null in row.get("non_diagnostic", [])]
    return [f"non-diagnostic: it holds under {', '.join(agreeing)}, too"] if agreeing else []
