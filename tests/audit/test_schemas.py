"""Every committed results file is what its published schema says, and the schemas are those of the types."""

import copy
from pathlib import Path

import pytest
from jsonschema import Draft202012Validator
from schema_errors import errors, kind_of, results_files

from darkmatter.audit.schemas import documents, schema_modules, schema_of
from darkmatter.ledger.estimands.experiments import KEYS
from darkmatter.ledger.verdicts import ANALOGUES, VERDICTS
from darkmatter.storage.artifacts import read_json
from darkmatter.storage.paths import ReportFolder, reports_of

ROOT = Path(__file__).parents[2]
REPORTS = ReportFolder(ROOT / reports_of("smollm2").path)
FILES = results_files(REPORTS)


def test_every_results_file_has_a_schema():
    assert {kind_of(path) for path in FILES} == set(schema_modules())


@pytest.mark.parametrize(
    "path",
    FILES,
    ids=lambda path: path.relative_to(REPORTS.path).as_posix(),
)
def test_committed_results_are_what_the_schema_says(path):
    assert errors(read_json(path), kind_of(path)) == []


@pytest.mark.parametrize(("path", "text"), sorted(documents().items()), ids=lambda given: getattr(given, "stem", ""))
def test_schemas_are_written_from_the_types(path, text):
    """`python -m darkmatter.audit.schemas` writes them."""
    assert (ROOT / path).read_text(encoding="utf-8") == text


@pytest.mark.parametrize("kind", sorted(schema_modules()))
def test_a_schema_is_a_schema(kind):
    Draft202012Validator.check_schema(schema_of(schema_modules()[kind]))


def of_first_sae(content: dict) -> dict:
    return content["saes"][0]["estimates"]["token"]["paper"]


@pytest.mark.parametrize(
    ("change", "named"),
    [
        (lambda content: content.update(hookpiont="resid_post.14"), "hookpiont"),
        (lambda content: content.pop("rows"), "rows"),
        (lambda content: of_first_sae(content).pop("fvu_nonlinear"), "fvu_nonlinear"),
        (lambda content: of_first_sae(content)["fvu"].pop("low"), "low"),
        (lambda content: of_first_sae(content)["fvu"].update(value="0.2"), "0.2"),
        (lambda content: of_first_sae(content)["fvu"].update(hihg=0.2), "hihg"),
        (lambda content: content["saes"][0]["estimates"].pop("context"), "context"),
    ],
)
def test_what_a_file_should_not_hold_is_named(change, named):
    content = copy.deepcopy(read_json(REPORTS.decomposition / "resid_post.14.json"))
    change(content)
    assert any(named in error for error in errors(content, "decomposition"))


@pytest.mark.parametrize(
    ("change", "named"),
    [
        (lambda content: content.update(claim=[]), "claim"),
        (lambda content: content["verdicts"].pop("paper-inconsistent"), "paper-inconsistent"),
        (lambda content: content["claims"][0].pop("rule_sha256"), "rule_sha256"),
        (lambda content: content["claims"][0].update(rule_sha256="0" * 63), "0" * 63),
        (lambda content: content["claims"][0].update(verdict="confirmed"), "confirmed"),
        (lambda content: content["claims"][0]["rule"].update(tets="inside"), "tets"),
        (lambda content: first_estimate(content).update(place="near"), "near"),
        (lambda content: first_estimate(content).pop("high"), "high"),
        (lambda content: content["predictions"][0].update(outcome="reproduced"), "reproduced"),
    ],
)
def test_what_the_claims_should_not_hold_is_named(change, named):
    content = copy.deepcopy(read_json(REPORTS.claims))
    change(content)
    assert any(named in error for error in errors(content, "claims"))


def first_estimate(content: dict) -> dict:
    return next(iter(content["claims"][0]["components"].values()))[0]


def test_the_schema_of_claims_has_every_name_that_the_ledger_uses():
    kinds = schema_of(schema_modules()["claims"])["$defs"]
    assert set(kinds["Verdicts"]["required"]) == set(VERDICTS)
    assert set(kinds["Analogues"]["required"]) == set(ANALOGUES)
    assert set(kinds["JudgedEnds"]["properties"]) == {"value", "low", "high", "joint", "reason", "place", *KEYS}
