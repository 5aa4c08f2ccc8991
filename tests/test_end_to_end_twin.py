"""The whole DAG in a second clone, on another worker than the first: the same bytes, and another model and back."""

import pytest
from workspace import Workspace, first_artifacts, shared_folder

from darkmatter.artifacts import read_json


@pytest.fixture(scope="module")
def twin(tmp_path_factory):
    """Not through DVC's run-cache or stored units: everything is computed, with another number of workers."""
    twin = Workspace(tmp_path_factory.mktemp("twin"))
    twin.repro("--force", "--no-run-cache", DARKMATTER_FRESH="1", DARKMATTER_WORKERS="2")
    return twin


def test_two_clones_make_the_same_bytes(twin, tmp_path_factory):
    ours = twin.artifacts()
    theirs = first_artifacts(tmp_path_factory.mktemp("first"), shared_folder(tmp_path_factory))
    assert ours.keys() == theirs.keys()
    assert [name for name in theirs if ours[name] != theirs[name]] == []


def test_another_model_and_back(twin):
    """Gemma 2, whose blocks, norms and masks differ, through every stage that runs the model or reads its parts."""
    before = twin.artifacts()
    twin.compose("smoke-gemma2")
    assert "activations" in twin.repro("components", "downstream")
    assert read_json(twin.folder / "data" / "model" / "config.json")["model_type"] == "gemma2"
    twin.compose("smoke")
    assert twin.repro() == []
    after = twin.artifacts()
    assert {name: after.get(name) for name in before} == before
