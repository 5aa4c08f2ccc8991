"""What is wrong with a results file, by its published schema."""

from pathlib import Path

from jsonschema import Draft202012Validator

from darkmatter.audit.schemas import schema_modules, schema_of
from darkmatter.storage.paths import ReportFolder

ELSEWHERE = {"data"}  # counts of the text, in no experiment


def results_files(reports: ReportFolder) -> list[Path]:
    """Those of a run that have a schema, the claims among them."""
    files = sorted([reports.claims, *reports.results.glob("*.json"), *reports.decomposition.glob("*.json")])
    return [path for path in files if kind_of(path) not in ELSEWHERE]


def kind_of(path: Path) -> str:
    """The experiment that a results file is of, or `claims`."""
    return path.parent.name if path.parent.name == "decomposition" else path.stem


def errors(content: dict, kind: str) -> list[str]:
    validator = Draft202012Validator(schema_of(schema_modules()[kind]))
    return [f"{error.json_path}: {error.message[:200]}" for error in validator.iter_errors(content)]
