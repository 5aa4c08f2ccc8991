"""The story: it is made of outcomes, so that no sentence contradicts a row; it is short; its words cover the ledger."""

import copy
import re
from pathlib import Path
from typing import Any

import pytest
from fake_results import fake_estimate
from profiles import profile_params

from darkmatter.figures import FIGURES
from darkmatter.ledger.claims import EXACT_KINDS, load_claims
from darkmatter.ledger.other_profiles import read_run
from darkmatter.params.schema import load_params
from darkmatter.report.outcomes import ANSWERS, VERBS, change, evidence_words, outcome_of, over, slack, strength
from darkmatter.report.story import evidence, group_of, how_strong, rows_of_run, run_names, story
from darkmatter.report.words import Words, known_words, outline, words_of
from darkmatter.results.load import Results, load_results
from darkmatter.storage.artifacts import read_json
from darkmatter.storage.paths import reports_of

ROOT = Path(__file__).parents[2]
LEDGER = load_claims(ROOT / "claims.yaml")
CLAIMS = read_json(ROOT / reports_of("smollm2").claims)
KEPT = [read_run(name, ROOT) for name in ("smollm2-full", "gemma3-270m-trained", "gemma3-270m-full")]
ANALOGUES = ("agrees", "disagrees", "inconclusive")
NUMBERS = re.compile(r"\d[\d,]*\.?\d*")
WORDS = Words("plainly", "paper", {"r2": "R² of x"})


@pytest.fixture(scope="module")
def results() -> Results:
    params = load_params(ROOT / "params.yaml")
    return load_results(ROOT / reports_of("smollm2").results, params.hookpoints, [])


def told_by(results: Results, claims: dict[str, Any], families: list[dict[str, Any]]) -> dict[str, Any]:
    return story(load_params(ROOT / "params.yaml"), results, claims, {"label": claims["model"]}, families, {})


def all_told(content: dict[str, Any]) -> dict[str, dict[str, Any]]:
    parts = (*content["sections"], *content["appendix"])
    return {claim["id"]: claim for part in parts for claim in part["claims"]}


def contradictions(content: dict[str, Any], rows: dict[str, dict[str, Any]]) -> list[str]:
    """Claims of which the story says something else than their row."""
    result = []
    for name, claim in all_told(content).items():
        if (claim["verb"], claim["answer"]) != (VERBS[outcome_of(rows[name])], ANSWERS[outcome_of(rows[name])]):
            result.append(name)
    for row in content["headline"]:
        if row["cells"][0]["outcome"] != outcome_of(rows[row["id"]]):
            result.append(row["id"])
        group = {"agrees": "hold", "disagrees": "do not hold", "inconclusive": "stay open"}
        listed = {name: row["short"] in said_of(content["opening"][3], words) for name, words in group.items()}
        if [name for name, there in listed.items() if there] != [*{outcome_of(rows[row["id"]])} & {*group}]:
            result.append(row["id"])
    return result


def said_of(sentence: str, verb: str) -> str:
    """What stands in brackets behind `hold`, `do not hold` or `stay open`, singular or plural."""
    singular = {"hold": "holds", "do not hold": "does not hold", "stay open": "stays open"}[verb]
    found = re.search(rf"(?<!not )\b(?:{verb}|{singular}) \(([^)]*)\)", sentence)
    return found[1] if found else ""


def test_no_sentence_contradicts_its_row(results: Results) -> None:
    rows = {row["id"]: row for row in CLAIMS["claims"]}
    assert contradictions(told_by(results, CLAIMS, KEPT), rows) == []


@pytest.mark.parametrize("outcome", ANALOGUES)
def test_sentences_follow_other_outcomes(outcome: str, results: Results) -> None:
    claims = copy.deepcopy(CLAIMS)
    for row in claims["claims"]:
        row |= {"analogue": outcome} if row["analogue"] != "none" else {}
    content = told_by(results, claims, KEPT)
    assert contradictions(content, {row["id"]: row for row in claims["claims"]}) == []
    here = told_by(results, CLAIMS, KEPT)
    assert contradictions(here, {row["id"]: row for row in claims["claims"]}) != []  # the search can find one


@pytest.mark.parametrize("run", KEPT, ids=lambda run: run["profile"])
def test_the_story_of_a_kept_run_is_its_own(run: dict[str, Any], results: Results) -> None:
    rows = rows_of_run({row["id"]: row for row in CLAIMS["claims"]}, run)
    assert len(rows) == len(run["claims"])
    assert contradictions(told_by(results, CLAIMS | {"claims": [*rows.values()]}, []), dict(rows)) == []


def test_a_claim_says_in_which_runs_it_came_out_otherwise(results: Results) -> None:
    """The asymptote, which the longer run withholds, first of all."""
    names = told_by(results, CLAIMS, KEPT)["runs"]
    here = {row["id"]: row for row in CLAIMS["claims"]}
    there = [rows_of_run(here, run) for run in KEPT]
    found = {claim: words["elsewhere"] or "" for claim, words in all_told(told_by(results, CLAIMS, KEPT)).items()}
    assert found["asymptote-gap"].endswith(
        "stays open in SmolLM2-135M-Instruct (smollm2-full) and gemma-3-270m (gemma3-270m-full)."
    )
    for claim, sentence in found.items():
        apart = [
            name
            for name, rows in zip(names[1:], there, strict=True)
            if claim in rows and group_of(outcome_of(rows[claim])) != group_of(outcome_of(here[claim]))
        ]
        assert [name for name in names[1:] if name in sentence] == apart


def test_numbers_of_a_sentence_are_those_of_its_row(results: Results) -> None:
    """The asymptote, which once lay above FVU_nonlinear in the text and nowhere in its row."""
    claim = all_told(told_by(results, CLAIMS, KEPT))["asymptote-gap"]
    (row,) = [row for row in CLAIMS["claims"] if row["id"] == "asymptote-gap"]
    (gap,) = row["components"]["gap"]
    shown = [float(number) for number in NUMBERS.findall(claim["evidence"])][:3]
    assert shown == pytest.approx([gap["value"], gap["low"], gap["high"]], rel=0.01)


def test_every_claim_has_plain_words() -> None:
    assert known_words().keys() == {claim.id for claim in LEDGER.claims}
    for row in (row for run in (CLAIMS, *KEPT) for row in run["claims"]):
        assert set(row["components"]) <= set(known_words()[row["id"]].parts), row["id"]
    for claim in LEDGER.claims:
        regions = {*claim.rule.real, *(claim.rule.analogue or {})}
        words = known_words()[claim.id]
        assert regions <= set(words.parts) and words.plain.endswith(".") and len(words.plain.split()) <= 24, claim.id


def test_numbers_in_plain_words_are_the_ledgers() -> None:
    for claim in LEDGER.claims:
        value = claim.paper_value
        numbers = [one for one in (value.values() if isinstance(value, dict) else [value]) if isinstance(one, float)]
        shown = {float(text.replace(",", "")) for text in NUMBERS.findall(known_words()[claim.id].paper)}
        assert set(numbers) <= shown, claim.id


def test_the_outline_has_every_figure_and_claim_once() -> None:
    """Figures named after a place in the paper stand there; all others stand beyond it."""
    order = outline()
    parts = (*order.sections, *order.appendix)
    of_paper = [entry.id for entry in FIGURES if not re.match(r"(fig|tab)X", entry.id)]
    assert sorted(order.placed) == sorted(of_paper)
    claims = [name for part in parts for name in part.claims]
    assert sorted(claims) == sorted(claim.id for claim in LEDGER.claims if claim.kind not in EXACT_KINDS)
    assert {*order.headline, order.first_claim} <= set(claims) and len(order.headline) == 8
    assert set(order.mathematics) < {erratum.id for erratum in LEDGER.errata}
    taken = [part.paper for part in parts]
    assert len(taken) == len(set(taken))


def row(outcome: str, *estimates: dict[str, Any], **region: Any) -> dict[str, Any]:
    regions = {"r2": region or {"low": 0.7}}
    return {
        "id": "a",
        "verdict": "not-testable-in-this-profile",
        "analogue": outcome,
        "reason": None,
        "out_of_scope": "another model",
        "judged_by": "analogue",
        "rule": {"test": "inside", "analogue": regions, "resample": ["context", "sae"]},
        "components": {"r2": list(estimates)},
    }


def at(value: float, place: str, half: float = 0.01, **more: Any) -> dict[str, Any]:
    return fake_estimate(value, half) | {"place": place} | more


def test_what_would_change_an_outcome() -> None:
    inside = row("agrees", at(0.9, "inside", sae="far"), at(0.75, "inside", sae="near"))
    assert change(inside, WORDS) == "R² of x of near (0.74 to 0.76) would have to cross 0.7."
    outside = row("disagrees", at(0.5, "outside"), at(0.1, "outside"), at(0.9, "inside"))
    assert change(outside, WORDS) == "R² of x (0.49 to 0.51) would have to reach 0.7, and 1 more their edges."
    across = row("inconclusive", at(0.7, "across"), at(0.9, "inside"))
    assert change(across, WORDS) == "R² of x (0.69 to 0.71) crosses 0.7."
    assert change(row("none"), WORDS) is None and change(row("inconclusive"), WORDS) is None


def test_an_interval_that_lacks_something_crosses_nothing() -> None:
    short = at(0.9, "across", short="4 SAEs are needed", absent={"sae": "4 SAEs are needed"})
    assert change(row("inconclusive", short), WORDS) == "Enough SAEs for an interval: 4 SAEs are needed."
    assert "not decided by its interval" in evidence_words(row("inconclusive", short), WORDS)


def test_an_interval_that_crosses_only_with_all_others_is_shown_so() -> None:
    joint = at(0.715, "across", joint={"low": 0.69, "high": 0.74})
    assert change(row("inconclusive", joint), WORDS) == "R² of x (0.69 to 0.74) crosses 0.7."


def test_strength_is_that_of_the_interval_that_decides() -> None:
    holds = row("agrees", at(0.9, "inside"), at(0.75, "inside"))
    assert strength(holds) == pytest.approx(2.0)  # 0.74 to 0.7, in widths of 0.02
    fails = row("disagrees", at(0.5, "outside"), at(0.65, "outside"), at(0.9, "inside"))
    assert strength(fails) == pytest.approx(9.5)
    assert strength(row("inconclusive", at(0.9, "inside"))) == 0 == slack(at(0.7, "across"), {"low": 0.7})
    readings = row("agrees", at(0.9, "inside"))
    readings["rule"]["analogue"] = {"r2": {"low": 0.7, "reading": "one"}, "other": {"low": 0.7, "reading": "two"}}
    readings["components"]["other"] = [at(0.1, "outside")]
    assert strength(readings) == pytest.approx(9.5)  # one reading is enough


def test_evidence_counts_runs_that_agree_first() -> None:
    weak, strong = row("agrees", at(0.72, "inside")), row("agrees", at(0.95, "inside"))
    fails, is_open = row("disagrees", at(0.1, "outside")), row("inconclusive", at(0.7, "across"))
    order = [[strong, strong], [weak, strong], [strong, is_open], [strong, fails], [is_open, is_open]]
    kinds = [evidence(rows) for rows in order]
    assert kinds[:3] == sorted(kinds, reverse=True)[:3] and kinds[0] > kinds[1] > kinds[2] > kinds[3]


def test_intervals_say_over_what_they_are() -> None:
    seeds = row("agrees", at(0.9, "inside", resampled="context, seed"))
    assert over(seeds) == "contexts, SAEs and training seeds"


def cells(*outcomes: str | None) -> dict[str, Any]:
    return {"cells": [outcome and {"outcome": outcome} for outcome in outcomes]}


def test_how_strong_the_evidence_is_follows_from_models_and_runs() -> None:
    analogy, own = profile_params("smoke"), profile_params("gemma-2-2b")
    both = [cells("agrees", "agrees"), cells("agrees", "disagrees"), cells("inconclusive", None)]
    assert how_strong(analogy, both) == (
        "This is evidence by analogy, since none of the models and SAEs is the paper's; one of the three came out the "
        "same way in both runs, one in opposite ways, and one is open or not tested in at least one."
    )
    assert how_strong(own, [cells("reproduced")]).startswith("The model and its SAEs are the paper's own")
    assert how_strong(own, [cells("reproduced")]).endswith("it rests on one run.")


def test_runs_of_one_model_are_told_apart() -> None:
    assert run_names([("m (q4)", "one"), ("n", "two")]) == ["m", "n"]
    assert run_names([("m (q4)", "one"), ("m (q4)", "two")]) == ["m (one)", "m (two)"]


def test_unknown_claims_keep_the_papers_words() -> None:
    words = words_of({"id": "of-another-ledger", "reads": "as printed", "paper_value": 0.5})
    assert (words.plain, words.paper, words.part("some_part")) == ("as printed", "0.5", "some part")
