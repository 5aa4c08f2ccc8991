"""What a forge and its visitors read: workflow, hooks, issue form and security note say what is true of the code."""

import ast
import re
import shlex
import shutil
import sys
import tomllib
from pathlib import Path

import pytest
import yaml

from darkmatter.cli import parser
from darkmatter.runner.code_identity import ROOT

GITHUB = ROOT / ".github"
FILES = [*sorted(GITHUB.rglob("*.yml")), ROOT / ".pre-commit-config.yaml"]
SPAN = re.compile(r"`([^`]+)`")


def content(path: Path) -> dict:
    return yaml.safe_load(path.read_text(encoding="utf-8"))


def job() -> dict:
    (result,) = content(GITHUB / "workflows" / "ci.yml")["jobs"].values()
    return result


def told_commands(text: str) -> list[list[str]]:
    """The `darkmatter …` commands of a text, as words."""
    return [words[1:] for span in SPAN.findall(text) if (words := shlex.split(span))[0] == "darkmatter"]


def test_there_are_files_and_each_is_yaml():
    assert len(FILES) >= 3
    assert all(isinstance(content(path), dict) for path in FILES)


def test_the_workflow_runs_what_ci_runs_on_every_python_that_the_project_allows():
    first, last = re.fullmatch(
        r">=3\.(\d+),<3\.(\d+)", tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["requires-python"]
    ).groups()
    assert job()["strategy"]["matrix"]["python"] == [f"3.{minor}" for minor in range(int(first), int(last))]
    (command,) = [step["run"] for step in job()["steps"] if "run" in step]
    assert (ROOT / command).is_file() and (ROOT / command).stat().st_mode & 0o100


def test_actions_are_pinned_by_commit():
    used = [step["uses"] for step in job()["steps"] if "uses" in step]
    assert len(used) == 2
    assert all(re.fullmatch(r"actions/[a-z-]+@[0-9a-f]{40}", one) for one in used)


def test_hooks_are_the_tools_of_lint():
    (repo,) = content(ROOT / ".pre-commit-config.yaml")["repos"]
    entries = [hook["entry"].removeprefix(".venv/bin/") for hook in repo["hooks"]]
    lint = (ROOT / "Makefile").read_text().split("\nlint:", 1)[1].split("\n\n", 1)[0]
    tools = [line.strip().removesuffix(" .") for line in lint.splitlines() if line.startswith(("\truff", "\tmypy"))]
    assert entries == tools
    assert all(shutil.which(entry.split()[0], path=str(Path(sys.executable).parent)) for entry in entries)


@pytest.mark.parametrize("path", [*sorted((GITHUB / "ISSUE_TEMPLATE").glob("*.yml")), ROOT / "SECURITY.md"])
def test_commands_that_a_text_names_exist(path: Path):
    commands = told_commands(path.read_text(encoding="utf-8"))
    assert commands
    for words in commands:
        parser().parse_args(words)  # leaves with 2 where there is no such command or option


def test_the_form_asks_for_the_comparison():
    form = content(GITHUB / "ISSUE_TEMPLATE" / "my-run-differs.yml")
    required = {part["id"] for part in form["body"] if part.get("validations", {}).get("required")}
    asked = " ".join(part["attributes"]["label"] for part in form["body"] if part.get("id") in required)
    assert ["compare", "--json"] in told_commands(asked)
    assert len({part["id"] for part in form["body"] if "id" in part}) == len(form["body"]) - 1


def test_paths_that_the_security_note_names_exist():
    spans = [span for span in SPAN.findall((ROOT / "SECURITY.md").read_text(encoding="utf-8")) if "/" in span]
    paths = [span for span in spans if " " not in span]
    assert len(paths) >= 4
    # conf/hub/ is made at the first download of a profile that names a hub
    assert [path for path in paths if not list(ROOT.glob(path)) and path != "conf/hub/"] == []


def loads_of(tree: ast.AST) -> list[str]:
    """Calls that may run what a file says: pickle's and torch's loaders, NumPy's with allow_pickle, eval and exec."""
    found = []
    for node in ast.walk(tree):
        if not isinstance(node, ast.Call):
            continue
        name = ast.unparse(node.func)
        options = {word.arg: word.value for word in node.keywords}
        risky = name in {"torch.load", "pickle.load", "pickle.loads", "joblib.load", "eval", "exec"}
        for option in ("allow_pickle", "trust_remote_code"):
            value = options.get(option)
            risky |= value is not None and not (isinstance(value, ast.Constant) and value.value is False)
        if risky:
            found.append(ast.unparse(node))
    return found


@pytest.mark.parametrize("folder", ["darkmatter", "stages"])
def test_nothing_that_a_file_says_is_executed(folder: str):
    paths = sorted((ROOT / folder).rglob("*.py"))
    assert len(paths) > 20
    assert [found for path in paths for found in loads_of(ast.parse(path.read_text(encoding="utf-8")))] == []


@pytest.mark.parametrize(
    ("line", "count"),
    [
        ("torch.load(path)", 1),
        ("np.load(path, allow_pickle=True)", 1),
        ("np.load(path, allow_pickle=False)", 0),
        ("AutoModel.from_pretrained(path, trust_remote_code=flag)", 1),
    ],
)
def test_a_call_that_would_is_found(line: str, count: int):
    assert len(loads_of(ast.parse(line))) == count
