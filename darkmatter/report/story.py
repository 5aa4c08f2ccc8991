"""What the page tells before its tables: five sentences, the headline claims on every model, the paper by section.

What the paper is and says is fixed text. What came out here is made from the rows of claims.json and of the kept runs.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from darkmatter.ledger.verdicts import subject_of
from darkmatter.params.schema import Params
from darkmatter.report.families import judged_by, run_names
from darkmatter.report.outcomes import (
    ANSWERS,
    DECIDED,
    HOLDS,
    STALE,
    VERBS,
    change,
    evidence_words,
    judged,
    outcome_of,
    over,
    strength,
    values_text,
)
from darkmatter.report.words import Outline, Part, outline, words_of
from darkmatter.results.headline import listing, span
from darkmatter.results.load import Results
from darkmatter.runner.arithmetic import FLOAT32, KEY

Content = dict[str, Any]
Rows = Mapping[str, Content]  # claim → its row

NUMERALS = ("none", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten")


def story(
    params: Params,
    results: Results,
    claims: Content,
    model: Content,
    families: Sequence[Content],
    figures: Mapping[str, Any],
) -> Content:
    """All that stands before the tables.

    Args:
        claims: of claims.json, with the verdicts that the page shows.
        model: of data.json: its label, and the arithmetic of its products where that is not float32.
        families: runs of other profiles.
        figures: id → what the page shows of a figure or table.
    """
    order = outline()
    rows = {row["id"]: row for row in claims["claims"]}
    runs = [rows, *(rows_of_run(rows, run) for run in families)]
    names = run_names([(model["label"], params.profile), *((run["model"], run["profile"]) for run in families)])
    headline = headline_rows(order, runs)
    claims_told = {
        claim: told(row, {name: run.get(claim) for name, run in zip(names[1:], runs[1:], strict=True)})
        for claim, row in rows.items()
    }
    return {
        "opening": opening(params, results, headline, names, model.get(KEY, FLOAT32)),
        "first_figure": figures.get(order.first_figure),
        "first_claim": claims_told.get(order.first_claim),
        "runs": names,
        "headline": headline,
        "sections": [section(one, claims_told, figures) for one in order.sections],
        "appendix": [section(one, claims_told, figures) for one in order.appendix],
        "beyond": [figure for name, figure in figures.items() if name not in order.placed],
    }


def rows_of_run(rows: Rows, run: Content) -> Rows:
    """A kept run's rows with the rule that judged each; without those whose rule is not in this ledger."""
    result = {}
    for content in run["claims"]:
        row = rows.get(content["id"])
        one = judged_by(row, content) if row else None
        if row and one:
            result[row["id"]] = row | {"stale": None} | content | {"rule": one["rule"]}
    return result


def headline_rows(order: Outline, runs: Sequence[Rows]) -> list[Content]:
    """The headline claims, the strongest evidence first.

    First by the runs in which a claim came out the same way and not open, then by the weakest of these outcomes.
    """
    first = runs[0]
    result = []
    for name, short in order.headline.items():
        if name not in first:
            continue
        known = [rows.get(name) for rows in runs]
        words = words_of(first[name])
        result.append(
            {
                "id": name,
                "short": short,
                "plain": words.plain,
                "paper": words.paper,
                "cells": [headline_cell(row) for row in known],
                "evidence": evidence([row for row in known if row]),
            }
        )
    return sorted(result, key=lambda one: one["evidence"], reverse=True)


def evidence(rows: Sequence[Content]) -> tuple[int, float]:
    """How many runs agree on an outcome that is not open, and how far the weakest of these is from being open."""
    decided = [row for row in rows if outcome_of(row) in DECIDED]
    yes = [strength(row) for row in decided if outcome_of(row) in HOLDS]
    no = [strength(row) for row in decided if outcome_of(row) not in HOLDS]
    most = max((yes, no), key=len)
    return len(most) - len(min((yes, no), key=len)), min(most, default=0.0)


def headline_cell(row: Content | None) -> Content | None:
    """One claim on one model: the answer, and the numbers that decide it."""
    if row is None:
        return None
    words, outcome = words_of(row), outcome_of(row)
    shown = {name: region for name, region in judged(row).items() if row["components"].get(name)}
    numbers = [
        {"label": words.part(name), "text": values_text(row["components"][name], region)}
        for name, region in shown.items()
    ]
    return {"outcome": outcome, "answer": ANSWERS[outcome], "numbers": numbers, "judge": row["judge"]}


def told(row: Content, others: Mapping[str, Content | None]) -> Content:
    """One claim as the story has it.

    Args:
        others: name of each other run → its row, if it has one.
    """
    words = words_of(row)
    return {
        "id": row["id"],
        "plain": words.plain,
        "outcome": outcome_of(row),
        "answer": ANSWERS[outcome_of(row)],
        "verb": VERBS[outcome_of(row)],
        "evidence": evidence_words(row, words),
        "over": over(row),
        "elsewhere": elsewhere(row, others),
        "change": change(row, words),
        "strength": strength(row),
    }


def elsewhere(row: Content, others: Mapping[str, Content | None]) -> str | None:
    """The other runs in which a claim came out otherwise; None where there is none."""
    here = group_of(outcome_of(row))
    found: dict[str, list[str]] = {}
    for name, other in others.items():
        if other and (group := group_of(outcome_of(other))) != here:
            found.setdefault(group, []).append(name)
    parts = [f"{GROUPS[group][0]} in {listing(names)}" for group, names in found.items()]
    return f"It {listing(parts)}." if parts else None


def section(one: Part, claims_told: Rows, figures: Mapping[str, Any]) -> Content:
    """One section with the claims and figures of it that this run has, and its outcome that is nearest to another."""
    claims = [claims_told[name] for name in one.claims if name in claims_told]
    open_to_change = [claim for claim in claims if claim["change"]]
    return {
        "title": one.title,
        "paper": one.paper,
        "claims": claims,
        "nearest": min(open_to_change, key=lambda claim: claim["strength"], default=None),
        "figures": [figures[name] for name in one.figures if name in figures],
    }


def opening(
    params: Params, results: Results, headline: Sequence[Content], names: Sequence[str], arithmetic: str
) -> list[str]:
    """Five sentences: what dark matter is, what the paper found, what ran here, what holds, how strong that is."""
    return [
        "A sparse autoencoder (SAE) rewrites a language model's activation x as a sparse sum of learned features; its "
        "dark matter is what it misses, SaeError = x − Sae(x).",
        "The paper found that a linear function of x predicts about half of this error and most of its norm, and that "
        "the rest, the nonlinear error, hardly shrinks as SAEs grow.",
        rerun(params, results, names, arithmetic),
        holds(headline, names[0]),
        how_strong(params, headline),
    ]


def rerun(params: Params, results: Results, names: Sequence[str], arithmetic: str) -> str:
    """What was run again, on what; in what arithmetic, where it is not float32."""
    runs = list(results.decomposition.values())
    saes = [sae for run in runs for sae in run["saes"]]
    main = results.decomposition.get(params.figures.main_hookpoint, runs[0])
    made = "trained here" if any(sae["train_tokens"] for sae in saes) else "as published"
    hookpoints = f"{len(runs)} hookpoints" if len(runs) > 1 else "one hookpoint"
    again = f" The same experiments ran on {listing(list(names[1:]))}." if names[1:] else ""
    products = "" if arithmetic == FLOAT32 else f", with {arithmetic} products in passes and training"
    return (
        f"Here its experiments ran again on {names[0]}: {len(saes)} SAEs, {made}, of "
        f"{span([sae['d_sae'] for sae in saes])} latents at {hookpoints}, and {main['rows']:,} tokens of "
        f"{main['contexts']} contexts{products}.{again}"
    )


def holds(headline: Sequence[Content], name: str) -> str:
    """Which headline claims hold in the run of this page, which do not, which stay open."""
    members: dict[str, list[str]] = {}
    for one in headline:
        members.setdefault(group_of(one["cells"][0]["outcome"]), []).append(one["short"])
    if not members:
        return "None of the paper's headline claims is in this run."
    parts = []
    for group, (singular, plural) in GROUPS.items():
        if shorts := members.get(group):
            of_all = "" if parts else f" of the paper's {numeral(len(headline))} headline claims"
            verb = singular if len(shorts) == 1 else plural
            parts.append(f"{numeral(len(shorts))}{of_all} {verb} ({'; '.join(shorts)})")
    return f"On {name} {listing(parts)}."


# Outcomes that the first sentences tell apart → the verb of one claim, and of more.
GROUPS = {
    "holds": ("holds", "hold"),
    "fails": ("does not hold", "do not hold"),
    "open": ("stays open", "stay open"),
    "untested": ("is not tested", "are not tested"),
    STALE: ("is stale", "are stale"),
}


def group_of(outcome: str) -> str:
    if outcome in DECIDED:
        return "holds" if outcome in HOLDS else "fails"
    return {"inconclusive": "open", STALE: STALE}.get(outcome, "untested")


def how_strong(params: Params, headline: Sequence[Content]) -> str:
    """How much these outcomes say of the paper: whose models, how many runs, which of them agree."""
    if subject_of(params).published_saes:
        kind = "The model and its SAEs are the paper's own, so a claim about them is reproduced or refuted"
    else:
        kind = "This is evidence by analogy, since none of the models and SAEs is the paper's"
    known = [[group_of(cell["outcome"]) if cell else "untested" for cell in one["cells"]] for one in headline]
    count = max(map(len, known), default=1)
    if count < 2:
        return f"{kind}; it rests on one run."
    same = sum(len(set(groups)) == 1 and groups[0] in ("holds", "fails") for groups in known)
    apart = sum({"holds", "fails"} <= set(groups) for groups in known)
    rest = len(known) - same - apart
    untested = " or not tested" if any({"untested", STALE} & {*groups} for groups in known) else ""
    others = f", and {numeral(rest)} {'is' if rest == 1 else 'are'} open{untested} in at least one" if rest else ""
    runs = "both" if count == 2 else f"all {numeral(count)}"
    return (
        f"{kind}; {numeral(same)} of the {numeral(len(known))} came out the same way in {runs} runs, "
        f"{numeral(apart)} in opposite ways{others}."
    )


def numeral(count: int) -> str:
    return NUMERALS[count] if count < len(NUMERALS) else str(count)
