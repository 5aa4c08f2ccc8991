"""The committed runs of other profiles: what is read of them, and how the page shows them."""

from pathlib import Path

import pytest
from fake_results import fake_estimate, fake_receipt, fake_results, write_results
from profiles import composed

from darkmatter.ledger.other_profiles import MAIN, read_run
from darkmatter.params.schema import load_params
from darkmatter.report.families import OTHER_RULE, families_content
from darkmatter.storage.artifacts import sha256_file, write_json
from darkmatter.storage.paths import reports_of

ROOT = Path(__file__).parents[2]


def claim(analogue="agrees", **more):
    return {
        "id": "a-claim",
        "reads": "what it says",
        "paper_value": 0.5,
        "rule": {
            "test": "inside",
            "level": 0.95,
            "resample": ["context"],
            "real": {"r2": {"low": 0.5}},
            "analogue": {"r2": {"low": 0.5}},
        },
        "rule_sha256": "ab" * 32,
        "edition": 1,
        "earlier": [],
        "judged_by": "analogue",
        "components": {"r2": [fake_estimate(0.8) | {"place": "inside"}], "beside": [fake_estimate(0.1)]},
        "outcomes": {"r2": {"verdict": "not-testable-in-this-profile", "analogue": "agrees"}},
        "verdict": "not-testable-in-this-profile",
        "analogue": analogue,
        "reason": None,
        "judge": None,
        "variants": {"token/authors": {}},
    } | more


@pytest.fixture
def finished(tmp_path, monkeypatch):
    """A repository whose reports are of a finished run of `smoke`."""
    monkeypatch.chdir(tmp_path)
    Path("params.yaml").write_text(composed("smoke"), encoding="utf-8")
    params = load_params()
    reports = reports_of("smoke")
    write_results(fake_results(params), reports.results)
    write_json(reports.claims, {"profile": "smoke", "model": "a model", "claims": [claim()]})
    for name in ("claims", "figures"):
        asked = {"params": {MAIN: params.figures.main_hookpoint}}
        write_json(reports.receipts / f"{name}.json", fake_receipt(name) | asked | {"profile": "smoke"})
    return params


def test_a_run_is_what_its_folder_says(finished):
    result = read_run("smoke")
    assert (result["profile"], result["model"]) == ("smoke", "a model")
    assert result["main"]["hookpoint"] == finished.figures.main_hookpoint
    assert result["claims"][0]["components"] == claim()["components"] and "variants" not in result["claims"][0]
    assert result["claims_sha256"] == sha256_file(reports_of("smoke").claims)
    receipts = [fake_receipt(name) for name in ("claims", "figures")]
    assert result["seconds"] == pytest.approx(sum(receipt["seconds"] for receipt in receipts))


def test_claims_stand_side_by_side_with_the_numbers_that_were_judged(finished):
    run = read_run("smoke")
    claims = {"profile": "here", "claims": [claim("disagrees"), claim("none", id="text", components={})]}
    result = families_content(claims, "this model", [run])
    assert result["columns"] == ["this model", "a model"]
    (row,) = result["rows"]  # a claim that no model was asked about is left out
    assert [cell["outcome"] for cell in row["cells"]] == ["disagrees", "agrees"]
    assert [number["label"] for number in row["cells"][1]["numbers"]] == ["r2"]
    assert row["cells"][1]["notes"] == []
    changed = families_content({"profile": "here", "claims": [claim(rule_sha256="cd" * 32)]}, "this model", [run])
    assert changed["rows"][0]["cells"][1]["notes"] == [OTHER_RULE]
    unknown = families_content({"profile": "here", "claims": [claim(id="new")]}, "this model", [run])
    assert unknown["rows"][0]["cells"][1] is None


def test_a_run_judged_by_an_earlier_edition_says_so_and_keeps_its_outcomes(finished):
    run = read_run("smoke")
    before = {"edition": 1, "rule": claim()["rule"], "rule_sha256": "ab" * 32}
    other = claim()["rule"] | {"analogue": {"beside": {"low": 0.5}}}
    here = claim(rule_sha256="cd" * 32, rule=other, earlier=[before])
    (row,) = families_content({"profile": "here", "claims": [here]}, "this model", [run])["rows"]
    cell = row["cells"][1]
    assert cell["notes"] == ["judged by the rule of edition 1"]
    assert [(number["label"], number["outcome"]) for number in cell["numbers"]] == [("r2", "agrees")]


def test_outliers_left_out_are_said(finished):
    run = read_run("smoke")
    run["main"] |= {"outlier_norm_ratio": 5.0, "dropped_rows": 42}
    facts = families_content({"profile": "here", "claims": []}, "this model", [run])["runs"][0]
    assert "without 42 with more than 5 median norms" in facts[0]
