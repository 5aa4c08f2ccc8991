"""The list of planted bugs fits the code; what runs them tells a caught bug from one that survives."""

import subprocess
from pathlib import Path

import pytest

from darkmatter.storage.artifacts import read_json
from tests.faults.page import RESULT
from tests.mutants import trial
from tests.mutants.by_imports import reaching
from tests.mutants.mutant import CAUGHT, SURVIVED, Mutant
from tests.mutants.page import part, sum_of
from tests.mutants.planted import MUTANTS

ROOT = Path(__file__).parents[2]
MODULE = "def larger(a, b):\n    return a if a > b else b\n"
TEST = """from darkmatter.toy import larger


def test_is_broken():
    assert larger(1, 2) == 3


def test_the_larger_one():
    assert larger(1, 2) == 2
"""
ALWAYS_FAILS, CATCHES = (f"tests/toy/test_toy.py::{name}" for name in ("test_is_broken", "test_the_larger_one"))


@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda one: f"{one.module}: {one.seen}"[:80])
def test_what_is_replaced_is_there_once_and_python_reads_what_takes_its_place(mutant):
    compile(mutant.planted(), mutant.module, "exec")
    assert reaching(mutant.module)


def test_there_are_many_bugs_in_many_modules_and_none_twice():
    assert len(MUTANTS) >= 40 and len({mutant.module for mutant in MUTANTS}) >= 15
    assert len({(mutant.module, mutant.text, mutant.replacement) for mutant in MUTANTS}) == len(MUTANTS)


def test_a_text_that_is_gone_or_stands_twice_is_refused(tmp_path):
    (tmp_path / "a.py").write_text("x = 1\nx = 1\n")
    for text in ("y", "x = 1"):
        with pytest.raises(ValueError, match=r"a\.py holds .* not once"):
            Mutant("a.py", text, "", "").planted(tmp_path)


@pytest.fixture
def repository(tmp_path, monkeypatch):
    """A small repository with one module and its tests, one of which fails as things are."""
    files = {"darkmatter/toy.py": MODULE, "tests/toy/test_toy.py": TEST, "pyproject.toml": "[tool.pytest]\n"}
    files["tests/mutants/failures.py"] = (ROOT / "tests/mutants/failures.py").read_text()
    for name, text in files.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    subprocess.run(["git", "init", "--quiet"], cwd=tmp_path, check=True)
    subprocess.run(["git", "add", "--all"], cwd=tmp_path, check=True)
    monkeypatch.setenv("PYTEST_DISABLE_PLUGIN_AUTOLOAD", "1")  # they take longer to import than these tests
    monkeypatch.setattr(trial, "ROOT", tmp_path)
    monkeypatch.setattr(trial, "reaching", lambda module, root: [["tests/toy/test_toy.py"]])
    return tmp_path


def test_a_bug_is_caught_by_a_test_that_passes_without_it_or_survives(repository, tmp_path_factory):
    copy = trial.Copy(tmp_path_factory.mktemp("copy") / "copy")
    wrong = Mutant("darkmatter/toy.py", "a > b", "a < b", "the smaller one")
    harmless = Mutant("darkmatter/toy.py", "a > b", "a >= b", "nothing")
    copy.settle([ALWAYS_FAILS, CATCHES])
    assert (copy.broken, copy.sound) == ({ALWAYS_FAILS}, {CATCHES})
    results = [copy.trial(mutant) for mutant in (wrong, harmless)]
    assert [one["outcome"] for one in results] == [CAUGHT, SURVIVED]
    assert [one["by"] for one in results] == [CATCHES, ""]
    assert (copy.folder / "darkmatter/toy.py").read_text() == MODULE
    assert [
        trial.key(mutant, one["by"], repository) for mutant, one in zip((wrong, harmless), results, strict=True)
    ] == [one["key"] for one in results]
    (repository / "tests/toy/test_toy.py").write_text(f"{TEST}\n")
    assert trial.key(harmless, "", repository) != results[1]["key"]


def test_tests_that_import_a_module_come_before_those_that_reach_it():
    steps = reaching("darkmatter/statistics/bootstrap.py")
    assert steps[0][0] == "tests/statistics/test_bootstrap.py"
    assert {*steps[0]} < {path.relative_to(ROOT).as_posix() for path in (ROOT / "tests/statistics").iterdir()}
    assert "tests/pipeline/test_end_to_end.py" not in [name for step in steps[:4] for name in step]
    assert len({name for step in steps for name in step}) == sum(map(len, steps))


def test_the_page_says_what_was_missed_at_first():
    facts = Mutant("a.py", "1", "2", "off by one", "tests/test_a.py::test_one").facts()
    caught = facts | {"outcome": CAUGHT, "by": "tests/test_a.py::test_one[x|y]", "files": 1, "seconds": 2.0}
    missed = Mutant("b.py", "1", "2", "flipped").facts() | {"outcome": SURVIVED, "by": "", "files": 3, "seconds": 4.0}
    content = {"machine": {"cpu": "a CPU", "cores": 2, "python": "3.11"}, "planned": 3, "results": [caught, missed]}
    assert sum_of(content) == "2 of 3 bugs planted in 2 modules: 1 caught, 0 of them when first planted, 1 missed."
    text = "\n".join(part(content))
    assert (
        "| `a.py` | off by one (missed at first; since then `test_a.py::test_one`) | `test_a.py::test_one` | 2 |"
        in text
    )
    assert "| `b.py` | flipped | nothing in 3 files | 4 |" in text


def test_the_committed_run_is_of_this_list_and_no_bug_survives():
    """Of 40 bugs 38 are to be caught when first planted, and for each of the others there is a test since."""
    results = read_json(ROOT / RESULT)["mutants"]["results"]
    assert all(any(mutant.is_of(one) for mutant in MUTANTS) for one in results)
    at_once = [one for one in results if one["outcome"] == CAUGHT and "test_since" not in one]
    assert len(at_once) >= 38 or len(results) < len(MUTANTS)
    assert len(results) >= 30 and len(at_once) >= 0.85 * len(results)
    assert [one["seen"] for one in results if one["outcome"] != CAUGHT] == []
