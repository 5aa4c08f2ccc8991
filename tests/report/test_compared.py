"""Machine × claim: docs/compared.md is what the kept comparisons say, and a changed outcome stands out in it."""

import copy

import jinja2
import pytest

from darkmatter.experiments.ground_truth.record import RECORD
from darkmatter.ledger.claims import load_claims
from darkmatter.report.compared import PAGE, cell, compared_content, page, read_compared, shift
from darkmatter.runner.code_identity import ROOT

ROW = {
    "id": "a-claim",
    "there": ["not-testable-in-this-profile", "agrees"],
    "here": ["not-testable-in-this-profile", "agrees"],
    "changed": [],
    "other_rule": False,
    "numbers": 2,
    "equal": 2,
    "in_seed_spreads": None,
    "in_half_widths": 0.0,
}


def section(runs) -> str:
    folder = ROOT / "darkmatter" / "report" / "sections"
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(folder), autoescape=True, undefined=jinja2.StrictUndefined
    )
    return environment.get_template("compared.html").render(compared=compared_content(runs))


@pytest.fixture
def runs():
    return read_compared(ROOT / "reports" / "compared")


def test_the_page_is_that_of_the_kept_comparisons(runs):
    assert runs
    assert (ROOT / PAGE).read_text(encoding="utf-8") == page(runs)


def test_each_claim_of_each_run_has_a_cell(runs):
    content = compared_content(runs)
    for place, run in enumerate(runs.values()):
        assert sum(row["cells"][place] is not None for row in content["rows"]) == len(run["claims"])


def test_a_run_of_another_class_of_cpu_takes_back_that_there_is_none(runs):
    name, run = next(iter(runs.items()))
    other = copy.deepcopy(run)
    other["here"]["machine"]["cpu"] = ["Another CPU"]
    assert "says nothing yet of another class" in page({name: run})
    assert "says nothing yet of another class" not in page({name: run, "other": other})
    assert "Another CPU" in page({"other": other}) and "Another CPU" in section({"other": other})


def test_outcomes_of_today_are_shown_next_to_those_of_the_runs(runs):
    name, run = next(iter(runs.items()))
    claim = run["claims"][0]["id"]
    rows = compared_content({name: run}, [{"id": claim, "verdict": "differs", "analogue": "none"}])["rows"]
    assert rows[0] | {"cells": []} == {"id": claim, "now": "differs", "cells": []}
    assert rows[0]["cells"][0]["text"] != "differs" and {row["now"] for row in rows[1:]} == {"absent"}
    assert "rules of its day" in section({name: run})


def test_no_run_is_no_table():
    assert "| claim |" not in page({})
    assert "No comparison is kept" in section({})


@pytest.mark.parametrize(
    ("change", "text", "changed"),
    [
        ({}, "analogue agrees", False),
        ({"here": ["differs", "none"]}, "analogue agrees there, differs here", True),
        ({"there": None, "other_rule": True}, "absent there, analogue agrees here (judged by another rule)", True),
        ({"changed": ["slope"]}, "analogue agrees; other outcomes of slope", True),
    ],
)
def test_cells(change, text, changed):
    result = cell(ROW | change)
    assert (result["text"], result["changed"]) == (text, changed)


@pytest.mark.parametrize(
    ("change", "text"),
    [
        ({}, ""),
        ({"equal": 1, "in_half_widths": 1e-14}, "last digits"),
        ({"equal": 1, "in_seed_spreads": 0.25, "in_half_widths": 0.5}, "0.25 σ and 0.5 w"),
    ],
)
def test_shifts(change, text):
    assert shift(ROW | change) == text


def test_a_changed_outcome_stands_out_and_text_is_escaped(runs):
    name, run = next(iter(runs.items()))
    run["claims"][0] |= {"here": ["<b>", "none"]}
    text = section({name: run})
    assert "<strong>" in text and "&lt;b&gt;" in text and "<b>" not in text


def test_what_other_draws_change_is_what_the_comparison_says(runs):
    run, world = runs["other-draws"], RECORD.estimands
    predictions = {one.id for one in load_claims(ROOT / "claims.yaml").predictions if one.estimand.name in world}
    inside, apart, others, few = (
        sum(row[key] for row in run["claims"] if (row["id"] in predictions) == own)
        for own in (True, False)
        for key in ("numbers", "disjoint")
    )
    changed = [row["id"] for row in run["claims"] if row["there"] != row["here"]]
    text = " ".join((ROOT / "docs/reliability.md").read_text(encoding="utf-8").split())
    assert f"All {len(run['claims'])} outcomes of claims and predictions are the same" in text and changed == []
    assert f"for {apart} of {inside} numbers of the synthetic world" in text
    assert f"Of the {others} other numbers {few} lie apart" in text
    shares = ("linear-error-is-absent-features", "nonlinear-error-is-mixed")
    largest = max(row["largest"] for row in run["claims"] if row["id"] in shares)
    assert f"the shares of LinearError and NonlinearError move by up to {largest:.3f}" in text
    assert "Other draws change no outcome" in " ".join((ROOT / "README.md").read_text("utf-8").split())


def test_what_earlier_positions_change_is_what_the_comparison_says(runs):
    run = runs["other-positions"]
    text = " ".join((ROOT / "docs/reliability.md").read_text(encoding="utf-8").split())
    moved = [row for row in run["claims"] if row["there"] != row["here"]]
    parts = [row for row in run["claims"] if row["changed"] and row not in moved]
    same = len(run["claims"]) - len(moved) - len(parts)
    assert f"the same outcome for {same} of {len(run['claims'])} claims and predictions" in text
    first, second, third = (f"`{row['id']}`" for row in moved)
    assert f"{first}, {second} and {third} stay open where they agreed; of three others a component" in text
    assert {(row["there"][1], row["here"][1]) for row in moved} == {("agrees", "inconclusive")} and len(parts) == 3
    norms = next(row for row in run["claims"] if row["id"] == "norm-r2-range")
    assert f"R² of the error norm moves by up to {norms['largest']:.3f}" in text
