"""The claims of this profile beside those of the committed runs of other profiles (`ledger.other_profiles`)."""

from collections.abc import Sequence
from typing import Any

from darkmatter.report.claims import component, outcome_words
from darkmatter.report.outcomes import outcome_of
from darkmatter.report.summary import duration
from darkmatter.report.words import words_of

Content = dict[str, Any]

OTHER_RULE = "judged by another rule than the one here"


def families_content(claims: Content, model: str, runs: Sequence[Content]) -> Content:
    """Columns and rows of the table of model families; only claims that were evaluated on a model.

    Args:
        claims: content of claims.json.
        model: label of the model that they are about.
        runs: of other profiles, as `other_profiles.read_run`.
    """
    columns = run_names([(model, claims["profile"]), *((run["model"], run["profile"]) for run in runs)])
    of_runs = [{row["id"]: row for row in run["claims"]} for run in runs]
    rows = []
    for row in claims["claims"]:
        founds = [row, *(run.get(row["id"]) for run in of_runs)]
        if any(result and result["analogue"] != "none" for result in founds):
            cells = [cell(row, result) for result in founds]
            rows.append({"id": row["id"], "plain": words_of(row).plain, "cells": cells})
    return {"columns": columns, "rows": rows, "runs": [run_facts(run) for run in runs]}


def run_names(runs: Sequence[tuple[str, str]]) -> list[str]:
    """What each run is called: its model without what stands in brackets, with the profile where two have the same.

    Args:
        runs: model and profile of each.
    """
    models = [model.split(" (")[0] for model, _ in runs]
    return [
        model if models.count(model) == 1 else f"{model} ({profile})"
        for model, (_, profile) in zip(models, runs, strict=True)
    ]


def cell(row: Content, content: Content | None) -> Content | None:
    """One claim on one model; None where that run did not know it.

    Args:
        row: of claims.json, with the rule.
        content: the same claim of a run.
    """
    if content is None:
        return None
    rule = (judged_by(row, content) or row)["rule"]
    judged = rule.get(content["judged_by"]) or {}
    words, called = outcome_words(content["outcomes"]), words_of(row)
    numbers = [
        component(called.part(name), item, True, words.get(name))
        for name, item in content["components"].items()
        if name in judged
    ]
    notes = [] if judged_by(row, content) is row else [other_rule(row, content)]
    notes += ["by the offline surrogate"] if content["judge"] == "surrogate" else []
    return {"outcome": outcome_of(content), "numbers": numbers, "notes": notes}


def judged_by(row: Content, content: Content) -> Content | None:
    """Of the row and its earlier rules the one that judged a run; None where none did."""
    return next((one for one in (row, *row["earlier"]) if content["rule_sha256"] == one["rule_sha256"]), None)


def other_rule(row: Content, content: Content) -> str:
    """Which rule judged a run that the one here did not."""
    one = judged_by(row, content)
    return f"judged by the rule of edition {one['edition']}" if one else OTHER_RULE


def run_facts(run: Content) -> list[str]:
    """Where a run is from, in sentences."""
    main, machine = run["main"], run["machine"]
    dropped = ""
    if "dropped_rows" in main:
        dropped = f", without {main['dropped_rows']:,} with more than {main['outlier_norm_ratio']:g} median norms"
    return [
        f"{run['model']}, profile {run['profile']}: main hookpoint {main['hookpoint']}, {main['rows']:,} rows of "
        f"{main['contexts']} contexts{dropped}.",
        f"Revision {(run['revision'] or 'unknown')[:12]}, {machine['cores']} cores of {machine['cpu']}, "
        f"{duration(run['seconds'])}, begun {run['started']}; claims.json had sha256 {run['claims_sha256'][:16]}.",
    ]
