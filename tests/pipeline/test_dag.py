"""dvc.yaml against the code: every stage's deps are the rooms of what it imports, and imports go one way."""

import ast
import functools
from pathlib import Path

import pytest
import yaml

from darkmatter.audit.history import committed_profiles
from darkmatter.cli import main
from darkmatter.experiments.registry import records
from darkmatter.params.schema import EXPERIMENTS, parse_params
from darkmatter.runner import code_identity
from darkmatter.runner.code_identity import PACKAGES, closure, source_of
from darkmatter.runner.pipeline_file import declared_profiles

ROOT = Path(__file__).parents[2]
STAGES = yaml.safe_load((ROOT / "dvc.yaml").read_text())["stages"]
SOURCES = sorted(path for package in PACKAGES for path in (ROOT / package).rglob("*.py"))
REGISTRY = "darkmatter/experiments/registry.py"
PLOTTING = ["stages/claims.py", "stages/figures.py", "stages/report.py", "stages/results.py", "stages/lemmas.py"]


@pytest.fixture(scope="module", autouse=True)
def _parsed_once():
    """A closure asks for the imports of hundreds of files, and the tests here for hundreds of closures."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(code_identity, "direct_imports", functools.cache(code_identity.direct_imports))
        yield


def definition(name):
    return STAGES[name].get("do", STAGES[name])


def imported(path):
    """Relative names of the files of ours behind `path`."""
    return {file.relative_to(ROOT).as_posix() for file in closure(path)}


def room(file, all_experiments):
    """The folder or file that dvc.yaml names for a file of ours: a room, one experiment, or the stage itself."""
    parts = file.split("/")
    if parts[0] == "stages":
        return file
    return "/".join(parts[: 3 if parts[1] == "experiments" and not all_experiments else 2])


@pytest.mark.parametrize("name", STAGES)
def test_code_deps_are_the_rooms_of_what_is_imported(name):
    """A stage that asks the registry reads the record of every experiment, so it depends on them all."""
    declared = [dep for dep in definition(name)["deps"] if dep.startswith(("darkmatter", "stages"))]
    files = imported(ROOT / "stages" / f"{name}.py")
    needed = sorted({room(file, REGISTRY in files) for file in files})
    assert sorted(declared) == needed, (
        f"dvc.yaml, {name}.deps: add {sorted({*needed} - {*declared})}, drop {sorted({*declared} - {*needed})}"
    )


def test_claims_figures_and_report_read_every_record():
    """No import leads to a record: it is read by name. What is read is asked of the registry as it runs."""
    readers = {name for name in STAGES if REGISTRY in imported(ROOT / "stages" / f"{name}.py")}
    assert readers == {"claims", "figures", "report"}
    read = {source_of(f"darkmatter.experiments.{name}.record").relative_to(ROOT).as_posix() for name in records()}
    for name in readers:
        unknown = {file for file in read if not any(file.startswith(f"{dep}/") for dep in definition(name)["deps"])}
        assert not unknown, f"dvc.yaml, {name}.deps: lacks a folder of {sorted(unknown)}"


@pytest.mark.parametrize("name", sorted(STAGES.keys() & EXPERIMENTS))
def test_a_stage_depends_on_its_own_options_alone(name):
    """A new option of one experiment is no reason to run another one again."""
    files = imported(ROOT / "stages" / f"{name}.py")
    options = {file for file in files if file.startswith("darkmatter/experiments/") and file.endswith("/params.py")}
    assert f"darkmatter/experiments/{name}/params.py" in options
    assert options <= {f"darkmatter/experiments/{key}/params.py" for key in definition(name)["params"]}


@pytest.mark.parametrize("name", STAGES)
def test_every_stage_is_described_and_runs_its_own_file(name):
    assert definition(name)["desc"].endswith(".")
    assert definition(name)["cmd"].removesuffix(" ${key}") == f"python -m stages.{name}"


def test_every_stage_file_is_in_the_dag():
    files = {path.stem for path in (ROOT / "stages").glob("*.py")} - {"__init__"}
    assert files == STAGES.keys()


def test_stages_never_import_stages_and_the_package_never_imports_them():
    for path in SOURCES:
        stages = {
            file
            for file in code_identity.direct_imports(path)
            if file.parent.name == "stages" and file.name != "__init__.py"
        }
        assert not stages, f"{path} imports {stages}"


def test_no_import_cycles():
    for path in SOURCES:
        for file in code_identity.direct_imports(path) - {path}:
            if path.name != "__init__.py" and file.name != "__init__.py":
                assert path not in closure(file), f"{path} and {file} import each other"


@pytest.mark.parametrize("stage", PLOTTING)
def test_plotting_never_imports_torch(stage):
    for path in closure(ROOT / stage):
        names = {alias.name for node in ast.walk(ast.parse(path.read_text())) for alias in getattr(node, "names", [])}
        modules = {getattr(node, "module", None) for node in ast.walk(ast.parse(path.read_text()))}
        assert not {"torch", "sae_lens", "transformers"} & (names | modules), path


def test_large_outputs_are_ignored_by_git_and_small_ones_are_not_cached():
    for name in STAGES:
        outs = [out for kind in ("outs", "metrics", "plots") for out in definition(name).get(kind, [])]
        for out in outs:
            path, options = next(iter(out.items())) if isinstance(out, dict) else (out, {})
            assert path.startswith("data/") != (options.get("cache") is False), f"{name}: {path}"


def test_every_stage_that_dvc_may_bring_back_is_one_that_its_run_cache_holds():
    """`persist` is for results that must outlive a run that fails; DVC never keeps such a stage."""
    for name in STAGES:
        uncached = [out for out in definition(name).get("outs", []) if isinstance(out, dict)]
        assert all(options == {"persist": True} for out in uncached for options in out.values()), name


def test_the_page_depends_on_every_profile_that_is_committed_but_the_default():
    assert sorted([*declared_profiles("report", ROOT), default_profile()]) == committed_profiles(ROOT)


def default_profile():
    defaults = yaml.safe_load((ROOT / "conf" / "config.yaml").read_text())["defaults"]
    return next(entry["profile"] for entry in defaults if "profile" in entry)


@pytest.fixture
def composed(tmp_path, monkeypatch):
    """Compose a profile in a folder of its own; returns what params.yaml then says."""
    (tmp_path / "conf").symlink_to(ROOT / "conf")
    monkeypatch.chdir(tmp_path)

    def compose(*arguments):
        main(["params", *arguments])
        return (tmp_path / "params.yaml").read_text()

    return compose


@pytest.mark.parametrize("profile", sorted(path.stem for path in (ROOT / "conf" / "profile").glob("*.yaml")))
def test_every_profile_is_valid(composed, profile):
    assert parse_params(yaml.safe_load(composed("--profile", profile))).profile == profile


def test_params_are_the_composed_default(composed):
    assert composed() == (ROOT / "params.yaml").read_text()


def test_unknown_profile_is_refused(composed):
    with pytest.raises(SystemExit, match=r"no profile 'smolm'; conf/profile has .*smollm2"):
        composed("--profile", "smolm")
