"""A sample of the faults, and the page of the committed run."""

import importlib
from collections import Counter
from pathlib import Path

import pytest
from workspace import Workspace

from darkmatter.storage.artifacts import ArtifactError, read_json
from tests.faults.page import GROUPS, PAGE, RESULT, page, sentence, write_group
from tests.faults.read_only import read_only
from tests.faults.trial import LOST, REFUSED, SURVIVED, UNCLEAR, WRONG, Trial, never, try_read

ROOT = Path(__file__).parents[2]
# Of each group that is cheap one case of so many; kills and surroundings need a whole run first: `make faults`.
SAMPLE = {"files": 9, "parameters": 3, "hub": 4, "hard_numbers": 6, "outputs": 5}


@pytest.mark.parametrize("group", SAMPLE)
@pytest.mark.filterwarnings("ignore")
def test_a_sample_of_the_faults_is_survived_or_refused_clearly(group):
    trials = list(importlib.import_module(f"tests.faults.{group}").trials(SAMPLE[group]))
    assert len(trials) >= 4
    assert [trial for trial in trials if trial.outcome not in (SURVIVED, REFUSED)] == []
    assert all(trial.group == group for trial in trials)


def test_a_workspace_that_is_read_only_is_said_in_one_line(tmp_path):
    workspace = Workspace(tmp_path)
    before = (tmp_path / "params.yaml").read_bytes()
    command = ("python", "-m", "darkmatter.cli", "params", "--profile", "smollm2")
    try:
        with read_only(tmp_path):
            said = workspace.run(*command, check=False)
    except PermissionError as refused:
        pytest.skip(str(refused))
    assert said == "error: [Errno 30] Read-only file system: '.params.draft.yaml'\n"
    assert (tmp_path / "params.yaml").read_bytes() == before
    workspace.run(*command)  # as soon as it may be written again


def test_every_group_has_a_title():
    names = {path.stem for path in Path(__file__).parent.glob("*.py") if "\nGROUP = " in path.read_text()}
    assert names | {"kills"} == set(GROUPS)


@pytest.mark.parametrize(
    ("error", "outcome"),
    [
        (None, SURVIVED),
        (ArtifactError("a.npy is damaged"), REFUSED),
        (ArtifactError("damaged"), UNCLEAR),
        (ArtifactError("a.npy is\ndamaged"), UNCLEAR),
        (ArtifactError("a.npy" * 1000), UNCLEAR),
        (KeyError("a.npy"), UNCLEAR),
    ],
)
def test_a_refusal_is_one_line_that_names_what_is_wrong(error, outcome):
    def read():
        if error:
            raise error
        return 1

    assert try_read("files", "f", "t", read, lambda result: result == 1, ["a.npy"]).outcome == outcome


def test_another_result_is_silently_wrong():
    assert try_read("files", "f", "t", lambda: 2, lambda result: result == 1).outcome == WRONG
    assert try_read("files", "f", "t", lambda: 1, never).outcome == WRONG


def content_of(*trials: Trial) -> dict:
    machine = {"cpu": "a CPU", "cores": 2, "python": "3.11"}
    runs = {trial.group: {"machine": machine, "seconds": 120.0} for trial in trials}
    return {"runs": runs, "trials": [trial.facts() for trial in trials]}


def test_the_page_counts_every_outcome_and_names_what_is_bad():
    trials = [Trial("files", "cut short", name, SURVIVED) for name in "ab"]
    trials += [Trial("files", "cut short", "c", REFUSED, "c is damaged"), Trial("files", "bomb", "d", WRONG, "2")]
    trials += [Trial("kills", "SIGKILL of dvc", "tokens", LOST, "gone", 7, 3.4)]
    text = page(content_of(*trials))
    assert "5 faults injected: 2 survived, 1 refused clearly, 1 silently wrong, 1 without a clear line, 7 bytes" in text
    assert "| cut short | 3 kinds | 3 | 2 | 1 | 0 | 0 |  |" in text
    assert "| SIGKILL of dvc | tokens | 1 | 0 | 0 | 0 | 7 | 3 s |" in text
    assert "7 bytes lost. On 2 cores of a CPU, Python 3.11." in text and text.count(" That took 2 minutes.") == 2
    assert "- bomb, d: 2" in text and "cut short, c" not in text


def test_a_group_takes_the_place_of_its_earlier_run(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "reports").mkdir()
    (tmp_path / "docs").mkdir()
    machine = content_of(Trial("files", "", "", SURVIVED))["runs"]["files"]["machine"]
    kills = [Trial("kills", "SIGKILL of dvc", name, SURVIVED).facts() for name in "abc"]
    write_group("kills", {"machine": machine, "seconds": 10.0}, kills)
    files = [Trial("files", "cut short", "d", REFUSED).facts()]
    write_group("files", {"machine": machine, "seconds": 20.0}, files)
    content = write_group("kills", {"machine": machine, "seconds": 30.0}, kills[:1])
    assert content == read_json(RESULT)
    assert content["trials"] == files + kills[:1]
    assert {name: run["seconds"] for name, run in content["runs"].items()} == {"files": 20.0, "kills": 30.0}


@pytest.mark.skipif(not (ROOT / RESULT).is_file(), reason="no committed run")
class TestTheCommittedRun:
    def test_the_page_and_the_readme_are_of_it(self):
        content = read_json(ROOT / RESULT)
        assert (ROOT / PAGE).read_text(encoding="utf-8") == page(content)
        assert sentence(content) in " ".join((ROOT / "README.md").read_text(encoding="utf-8").split())

    def test_nothing_is_lost_or_silently_wrong(self):
        trials = read_json(ROOT / RESULT)["trials"]
        assert Counter(trial["outcome"] for trial in trials).keys() <= {SURVIVED, REFUSED}
        assert len(trials) >= 300 and not sum(trial["bytes_lost"] for trial in trials)
