"""What was predicted of the experiments that the paper does not have, and what became of it."""

from collections.abc import Mapping, Sequence
from typing import Any

from darkmatter.report.outcomes import ANSWERS, values_text

Content = dict[str, Any]


def predictions_content(claims: Mapping[str, Any], runs: Sequence[Content] = ()) -> list[Content]:
    """One row for each prediction of claims.json, in the order of the ledger; none where the profile judges none.

    Args:
        runs: of other profiles, as `other_profiles.read_run`: the first that judged what this one did not is shown.
    """
    elsewhere = {(row["id"], row["sha256"]): (row, run) for run in reversed(runs) for row in run["predictions"]}
    result = []
    for row in claims.get("predictions", []):
        found = None if row["outcome"] else elsewhere.get((row["id"], row["sha256"]))
        result.append(prediction(*found) if found else prediction(row))
    return result


def prediction(row: Mapping[str, Any], run: Content | None = None) -> Content:
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
        "profile": run and run["profile"],
    }
