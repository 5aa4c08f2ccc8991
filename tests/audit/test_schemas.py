"""Every committed results file is what its published schema says, and the schemas are those of the types."""

import copy
from pathlib import Path

import pytest
from jsonschema import Draft202012Validator

from darkmatter.audit.schemas import documents, schema_modules, schema_of
from darkmatter.storage.artifacts import read_json

ROOT = Path(__file__).parents[2]
RESULTS = ROOT / "reports" / "results"
ELSEWHERE = {"data"}  # counts of the text, in no experiment
FILES = sorted([*RESULTS.glob("*.json"), *RESULTS.glob("decomposition/*.json")])


def kind_of(path: Path) -> str:
    return path.stem if path.parent == RESULTS else path.parent.name


def errors(content: dict, kind: str) -> list[str]:
    validator = Draft202012Validator(schema_of(schema_modules()[kind]))
    return [f"{error.json_path}: {error.message[:200]}" for error in validator.iter_errors(content)]


def test_every_results_file_has_a_schema():
    assert {kind_of(path) for path in FILES} - ELSEWHERE == set(schema_modules())


@pytest.mark.parametrize(
    "path",
    [path for path in FILES if kind_of(path) not in ELSEWHERE],
    ids=lambda path: path.relative_to(RESULTS).as_posix(),
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
    content = copy.deepcopy(read_json(RESULTS / "decomposition" / "resid_post.14.json"))
    change(content)
    assert any(named in error for error in errors(content, "decomposition"))
