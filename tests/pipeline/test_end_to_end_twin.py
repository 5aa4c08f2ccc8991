"""The whole DAG in a second clone: the bytes of the first run, whose processes differ; another model and back."""

import json
import re

import pytest
from workspace import Workspace, first_artifacts, shared_folder

from darkmatter.storage.artifacts import read_json


@pytest.fixture(scope="module")
def twin(tmp_path_factory):
    """Not through DVC's run-cache or stored units: everything is computed, with other processes and more of them."""
    twin = Workspace(tmp_path_factory.mktemp("twin"))
    twin.repro_in_one_process("--force", "--no-run-cache", DARKMATTER_FRESH="1", DARKMATTER_WORKERS="2")
    return twin


def test_two_clones_make_the_same_bytes(twin, tmp_path_factory):
    ours = twin.artifacts()
    theirs = first_artifacts(tmp_path_factory.mktemp("first"), shared_folder(tmp_path_factory))
    assert ours.keys() == theirs.keys()
    assert [name for name in theirs if ours[name] != theirs[name]] == []


def test_audit_finds_nothing_wrong_and_every_number_follows(twin):
    """On another profile than the one whose results are committed."""
    assert "nothing wrong" in twin.audit("verify")
    names = twin.audit("derive", "--list").splitlines()
    assert {"decomposition", "metrics", "fig02_maps", "pursuit", "norm-r2-range"} <= {*names}
    derived = json.loads(twin.audit("derive", "claims", *names, "--json"))
    assert derived["findings"] == []
    figures = {path.stem: read_json(path) for path in twin.reports.figures.glob("*.json")}
    drawn = [item for item in derived["derived"] if "not_drawn" not in figures.get(item["name"], {})]
    assert not [one["name"] for one in drawn if one["row"] is None and one["equal"] + one["close"] == 0]
    assert not [item["name"] for item in derived["derived"] if item["close"]]  # to the last bit


@pytest.fixture(scope="module")
def clone(twin, tmp_path_factory):
    """What git holds of the twin, whose data a remote has."""
    folder = tmp_path_factory.mktemp("shared")
    twin.run("dvc", "remote", "add", "--default", "store", str(folder / "store"))
    twin.run("dvc", "remote", "modify", "store", "verify", "true")
    twin.commit("everything ran")
    twin.run("dvc", "push", "--quiet")
    return twin.clone(folder / "clone")


def test_reviewer_pulls_and_runs_nothing(twin, clone):
    assert not (clone.folder / "data" / "model").exists()
    assert "nothing wrong" in clone.audit("verify", "--committed")
    assert clone.repro("--pull", "--allow-missing") == []
    assert clone.repro("--pull") == []
    assert clone.artifacts() == twin.artifacts()
    assert "nothing wrong" in clone.audit("verify")


def test_reader_without_data_is_told_of_a_corpus_alone_made_again(clone, tmp_path):
    """One more document; the report, too, because it names the parameters of the corpus."""
    clone.change("corpus.sources.words-b.max_characters", 61000)
    assert clone.repro("--single-item", "corpus") == ["corpus"]
    clone.commit("corpus alone")
    reader = clone.clone(tmp_path / "reader")
    said = reader.run("python", "-m", "darkmatter.cli", "audit", "verify", "--committed", check=False)
    assert re.findall(r"^([\w-]+): (\S+): ", said, re.MULTILINE) == [("stale", "report"), ("stale", "tokens")], said
    assert "tokens read another data/corpus/documents.jsonl than corpus has written" in said


def test_another_model_and_back(twin):
    """Gemma 2, whose blocks, norms and masks differ, through every stage that runs the model or reads its parts."""
    before = twin.artifacts()
    twin.compose("smoke-gemma2")
    assert "activations" in twin.repro_in_one_process("components", "downstream")
    assert read_json(twin.folder / "data" / "model" / "config.json")["model_type"] == "gemma2"
    twin.compose("smoke")
    assert twin.repro() == []
    after = twin.artifacts()
    assert {name: after.get(name) for name in before} == before
