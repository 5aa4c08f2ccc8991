"""The rooms of darkmatter/: imports go one way, and an edit runs what it must and no more."""

import ast
import functools
import re
from pathlib import Path

import pytest
import yaml

from darkmatter.runner import code_identity
from darkmatter.runner.code_identity import closure, direct_imports

ROOT = Path(__file__).parents[2]
PACKAGE = ROOT / "darkmatter"
STAGES = yaml.safe_load((ROOT / "dvc.yaml").read_text())["stages"]
TABLE = re.findall(r"^\| `(\w+)` \|", (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8"), re.MULTILINE)
COMPUTED = {"activations", "saes", "codes", "decomposition"}  # the stages that run models and train


@pytest.fixture(scope="module", autouse=True)
def _parsed_once():
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(code_identity, "direct_imports", functools.cache(code_identity.direct_imports))
        yield


def room_of(path):
    parts = path.relative_to(PACKAGE).parts
    return parts[0] if len(parts) > 1 else None


def test_every_room_is_in_the_table_and_says_what_it_is_for():
    rooms = {path.name for path in PACKAGE.iterdir() if path.is_dir() and path.name != "__pycache__"}
    assert rooms == {*TABLE} and len(TABLE) == len(rooms)
    for path in PACKAGE.rglob("__init__.py"):
        assert ast.get_docstring(ast.parse(path.read_text(encoding="utf-8"))), path


def test_the_package_has_nothing_at_its_root_but_the_command():
    assert sorted(path.name for path in PACKAGE.glob("*.py")) == ["__init__.py", "cli.py"]


@pytest.mark.parametrize("room", TABLE)
def test_a_room_imports_from_rooms_above_it_alone(room):
    above = {*TABLE[: TABLE.index(room) + 1]}
    for path in (PACKAGE / room).rglob("*.py"):
        for file in direct_imports(path):
            if PACKAGE in file.parents and (other := room_of(file)):
                assert other in above, f"{path.relative_to(ROOT)} imports {file.relative_to(ROOT)}"


def stages_of(path):
    """The stages that DVC runs once the file is another one."""
    name = path.relative_to(ROOT).as_posix()
    return {
        stage
        for stage, entry in STAGES.items()
        if any(name == dep or name.startswith(f"{dep}/") for dep in entry.get("do", entry)["deps"])
    }


def unit_modules(stage):
    """The modules of the functions that a stage maps over its units, by the calls in its file."""
    tree = ast.parse((ROOT / "stages" / f"{stage}.py").read_text(encoding="utf-8"))
    named = {
        alias.asname or alias.name: node.module
        for node in ast.walk(tree)
        if isinstance(node, ast.ImportFrom)
        for alias in node.names
    }
    calls = (node for node in ast.walk(tree) if isinstance(node, ast.Call) and node.args)
    functions = {call.args[0].id for call in calls if getattr(call.func, "id", "") == "run_units"}
    return {code_identity.module_file(named[function]) for function in functions}


def units_of(path):
    """The stages, of those that run models and train, whose stored units are of no use once the file is another one."""
    return {stage for stage in COMPUTED if any(path in closure(module) for module in unit_modules(stage))}


EVERYTHING = {*STAGES}
LEAVES = {"claims", "figures", "report"}

# an edit of … → (the stages that run, those whose units are computed again)
EDITS = {
    "cli.py": (set(), set()),
    "api/commands.py": (set(), set()),
    "planning/plan.py": (set(), set()),
    "costs/cost.py": (set(), set()),
    "audit/verify.py": (set(), set()),
    "report/content.py": ({"report"}, set()),
    "figures/fig01_breakdown.py": ({"figures", "report"}, set()),
    "ledger/verdicts.py": ({"claims", "report"}, set()),
    "theory/lemmas.py": ({"lemmas", "controls"}, set()),
    "results/breakdown.py": ({"controls", "linear_rank", *LEAVES}, set()),
    "experiments/nulls/params.py": ({"nulls", *LEAVES}, set()),
    "experiments/components/params.py": ({"components", *LEAVES}, set()),
    "experiments/downstream/params.py": ({"downstream", "linear_rank", *LEAVES}, set()),
    "experiments/controls/params.py": ({"controls", *LEAVES}, set()),
    "experiments/controls/record.py": ({"controls", *LEAVES}, set()),  # the registry reads it by name
    "experiments/registry.py": (LEAVES, set()),
    "text/corpus.py": ({"corpus", "tokens"}, set()),
    "params/types.py": (EVERYTHING, {*COMPUTED}),  # the device a unit runs on is one of its names
    "params/figures.py": (EVERYTHING, set()),
    "params/schema.py": (EVERYTHING, set()),
    "runner/stage.py": (EVERYTHING, set()),
    "storage/safe_yaml.py": (EVERYTHING, set()),
    "statistics/metrics.py": (None, {"decomposition"}),
    "regression/moments.py": (None, {"decomposition"}),
    "decomposition/passes.py": (None, {"decomposition"}),
    "saes/training/train.py": (None, {"saes"}),
    "saes/codes.py": (None, {"saes", "codes", "decomposition"}),  # published SAEs are measured when they are adopted
    "models/extract.py": (None, {"activations"}),
    "sources/hub.py": (None, {"saes", "codes", "decomposition"}),
    "torch_files/read.py": (None, {"saes", "codes", "decomposition"}),
}


@pytest.mark.parametrize("name", EDITS)
def test_what_an_edit_runs(name):
    """None: the stages below the data, which are many; what counts is that no model runs and nothing is trained."""
    stages, units = EDITS[name]
    if stages is not None:
        assert stages_of(PACKAGE / name) == stages
    assert units_of(PACKAGE / name) == units


def test_edits_cover_every_room():
    assert {name.split("/")[0] for name in EDITS} == {*TABLE, "cli.py"}


def test_every_test_file_can_be_run_alone():
    """What several folders of tests need is in tests/support, which pytest always finds."""
    names = {path.stem: path for path in ROOT.glob("tests/*/test_*.py")}
    for path in names.values():
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            modules = [node.module] if isinstance(node, ast.ImportFrom) else []
            modules += [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            for module in modules:
                assert module not in names or names[module].parent == path.parent, f"{path} imports {module}"
