"""Kept runs of other profiles: what is kept, when that is refused, and how the page shows them."""

import json
from pathlib import Path

import pytest
from fake_results import fake_estimate, fake_receipt, fake_results, write_results
from profiles import composed

from darkmatter.ledger.families import FAMILIES, keep, read_families
from darkmatter.ledger.rules import Rule, sha256_of
from darkmatter.params.schema import load_params
from darkmatter.report.families import NO_OUTCOMES, OTHER_RULE, families_content
from darkmatter.storage.artifacts import ArtifactError, write_json


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
    write_results(fake_results(params), Path("reports/results"))
    write_json(Path("reports/claims.json"), {"profile": "smoke", "model": "a model", "claims": [claim()]})
    for name in ("claims", "figures"):
        nothing = {"code": {}, "inputs": {}, "outputs": {}, "params": {}}
        write_json(Path(f"reports/receipts/{name}.json"), fake_receipt(name) | nothing | {"profile": "smoke"})
    return params


def test_a_finished_run_is_kept_without_its_variants(finished):
    path = keep(finished)
    assert path == FAMILIES / "smoke.json"
    result = json.loads(path.read_text())
    assert (result["profile"], result["model"]) == ("smoke", "a model")
    assert result["main"]["hookpoint"] == finished.figures.main_hookpoint
    assert result["claims"][0]["components"] == claim()["components"] and "variants" not in result["claims"][0]
    assert read_families(FAMILIES, "another") == [result]
    assert read_families(FAMILIES, "smoke") == []  # the page's own profile stands there already


def test_another_profile_and_another_state_are_refused(finished):
    receipt = json.loads(Path("reports/receipts/claims.json").read_text())
    write_json(Path("reports/receipts/claims.json"), receipt | {"inputs": {"claims.yaml": "ab" * 32}})
    with pytest.raises(ArtifactError, match=r"claims read another claims\.yaml than is here"):
        keep(finished)
    Path("reports/receipts/claims.json").unlink()
    with pytest.raises(ArtifactError, match="dvc repro"):
        keep(finished)
    assert not FAMILIES.exists()


def test_claims_stand_side_by_side_with_the_numbers_that_were_judged(finished):
    run = json.loads(keep(finished).read_text())
    claims = {"claims": [claim("disagrees"), claim("none", id="text", components={})]}
    result = families_content(claims, "this model", [run])
    assert result["columns"] == ["this model", "a model"]
    (row,) = result["rows"]  # a claim that no model was asked about is left out
    assert [cell["outcome"] for cell in row["cells"]] == ["disagrees", "agrees"]
    assert [number["label"] for number in row["cells"][1]["numbers"]] == ["r2"]
    assert row["cells"][1]["notes"] == []
    changed = families_content({"claims": [claim(rule_sha256="cd" * 32)]}, "this model", [run])
    assert changed["rows"][0]["cells"][1]["notes"] == [OTHER_RULE]
    unknown = families_content({"claims": [claim(id="new")]}, "this model", [run])
    assert unknown["rows"][0]["cells"][1] is None


@pytest.mark.parametrize(
    ("changes", "outcome"),
    [
        ({}, "agrees"),
        ({"judged_by": "real"}, "reproduced"),
        ({"components": {"r2": [fake_estimate(0.2)]}}, "disagrees"),
        ({"components": {"r2": [fake_estimate(0.2)]}, "judged_by": "real"}, "differs"),
        ({"components": {"r2": [fake_estimate(0.5)]}}, "inconclusive"),
    ],
)
def test_outcomes_that_an_older_file_lacks_follow_from_its_numbers(finished, changes, outcome):
    run = json.loads(keep(finished).read_text())
    del run["claims"][0]["outcomes"]
    run["claims"][0] |= changes
    (row,) = families_content({"claims": [claim("disagrees")]}, "this model", [run])["rows"]
    assert [number["outcome"] for number in row["cells"][1]["numbers"]] == [outcome]
    assert row["cells"][1]["notes"] == []


def test_outcomes_by_a_rule_that_is_not_here_are_not_made_up(finished):
    run = json.loads(keep(finished).read_text())
    here = {"claims": [claim(rule_sha256="cd" * 32)]}
    del run["claims"][0]["outcomes"]
    (row,) = families_content(here, "this model", [run])["rows"]
    assert [number["outcome"] for number in row["cells"][1]["numbers"]] == [None]
    assert row["cells"][1]["notes"] == [OTHER_RULE, NO_OUTCOMES]


def test_a_run_judged_by_an_earlier_edition_says_so_and_keeps_its_outcomes(finished):
    run = json.loads(keep(finished).read_text())
    del run["claims"][0]["outcomes"]
    before = {"edition": 1, "rule": claim()["rule"], "rule_sha256": "ab" * 32}
    other = claim()["rule"] | {"analogue": {"beside": {"low": 0.5}}}
    here = claim(rule_sha256="cd" * 32, rule=other, earlier=[before])
    (row,) = families_content({"claims": [here]}, "this model", [run])["rows"]
    cell = row["cells"][1]
    assert cell["notes"] == ["judged by the rule of edition 1"]
    assert [(number["label"], number["outcome"]) for number in cell["numbers"]] == [("r2", "agrees")]


@pytest.mark.parametrize(("edition", "notes"), [(2, []), (3, [OTHER_RULE, NO_OUTCOMES])])
def test_a_run_of_before_edition_3_names_its_rule_without_the_estimand(finished, edition, notes):
    run = json.loads(keep(finished).read_text())
    del run["claims"][0]["outcomes"]
    run["claims"][0]["rule_sha256"] = sha256_of(Rule.model_validate(claim()["rule"]), None)
    (row,) = families_content({"claims": [claim(edition=edition)]}, "this model", [run])["rows"]
    assert row["cells"][1]["notes"] == notes


def test_outliers_left_out_are_said(finished):
    run = json.loads(keep(finished).read_text())
    run["main"] |= {"outlier_norm_ratio": 5.0, "dropped_rows": 42}
    facts = families_content({"claims": []}, "this model", [run])["runs"][0]
    assert "without 42 with more than 5 median norms" in facts[0]
