"""The stage architectures as a whole, on activations of the smoke profile's sizes: units, their resumption, results."""

from pathlib import Path

import numpy as np
from profiles import profile_params
from schema_errors import errors

import stages.architectures
from darkmatter.experiments.architectures.names import STORED, trained, variants
from darkmatter.experiments.architectures.results import derive
from darkmatter.params.schema import Params
from darkmatter.runner.stage import Stage
from darkmatter.storage.artifacts import plain, read_arrays, read_json, write_json
from darkmatter.storage.paths import ACTIVATIONS, MODEL

PARAMS = profile_params("smoke")
MAIN = PARAMS.figures.main_hookpoint


def make_inputs() -> None:
    """A manifest, and sparse sums of features in place of activations."""
    write_json(MODEL / "manifest.json", {"label": "tiny"})
    features = np.random.default_rng(0).standard_normal((40, 24))
    for seed, (side, contexts) in enumerate({"train": 24, "eval": 16}.items()):
        random = np.random.default_rng([1, seed])
        fires = random.random((contexts, PARAMS.tokens.positions, 40)) < 0.1
        x = (fires * random.exponential(size=fires.shape)) @ features + 2
        (ACTIVATIONS / side / MAIN).mkdir(parents=True)
        np.save(ACTIVATIONS / side / MAIN / "000000.npy", x.astype(np.float32))


def run_stage(params: Params = PARAMS) -> Stage:
    stage = Stage("architectures", params, Path(stages.architectures.__file__))
    stages.architectures.main(stage)
    return stage


def test_the_stage_leaves_every_architecture_and_a_second_run_finds_its_units(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("DARKMATTER_WORKERS", "1")
    make_inputs()
    first = run_stage()
    content = read_json(first.reports.results / "architectures.json")
    arrays = read_arrays(first.reports.results / STORED)
    assert errors(content, "architectures") == []
    own = PARAMS.architectures
    names = [sae.name for sae in trained(own)]
    assert [sae["name"] for sae in content["saes"]] == names and len(names) == len(set(names)) == 9 * 2 * 2 + 8 * 2
    for sae in content["saes"]:
        numbers = sae["estimates"]["token"]
        assert 0 < numbers["fvu_nonlinear"]["value"] < numbers["fvu"]["value"] < 1, sae["name"]
    found = {(row["variant"], row["d_sae"]): row["estimates"]["token"]["numbers"] for row in content["matched"]}
    exact = ("topk", "abstopk", "skip_8")
    assert {variant for variant, d_sae in found if d_sae == 32} == {*variants(own)}
    assert all(found[variant, 32]["fvu"]["value"] is not None for variant in exact)
    assert found["skip_8", 32]["fvu"]["value"] < found["topk", 32]["fvu"]["value"]
    assert found["matching_pursuit", 64]["fvu"]["reason"].endswith("left out at this size")
    assert len(first.units.computed) == 2 * len(names) and first.units.reused == []
    assert content == plain(derive({STORED: arrays}, content, PARAMS))

    again = run_stage()
    assert again.units.computed == [] and len(again.units.reused) == 2 * len(names)
    assert read_json(first.reports.results / "architectures.json") == content
    assert not stages.architectures.WORK.exists()


def test_without_classes_the_stage_leaves_empty_results(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    make_inputs()
    off = PARAMS.model_copy(update={"architectures": PARAMS.architectures.model_copy(update={"classes": []})})
    stage = run_stage(off)
    content = read_json(stage.reports.results / "architectures.json")
    assert content["saes"] == [] and errors(content, "architectures") == []
    assert read_arrays(stage.reports.results / STORED) == {} and stage.units.computed == []
