"""The arithmetic in the graph: settled by one stage, recorded, followed by the others, and never mixed."""

import json

import numpy as np
import pytest
from workspace import Workspace

from darkmatter.runner.arithmetic_probe import ProductRates
from darkmatter.runner.rounded_products import rounds_by_itself

SHARD = "data/activations/eval/resid_post.1/000000.npy"
FOLLOW = ("activations", "saes")
SMALL, OTHER = "widths-32-k4-s0", "widths-64-k4-s0"
FEW = {  # two SAEs at one hookpoint, and no experiment that asks for others
    "hookpoints": {"resid_post.1": {"train_contexts": 24}},
    "saes.groups": {
        "widths": {"hookpoints": ["resid_post.1"], "d_sae": [32, 64], "k": [4], "seeds": [0], "train_tokens": 3000}
    },
    "norm_baselines.groups": ["widths"],
    "components": {"sae": OTHER, "parents": 3 * [f"resid_post.1/{SMALL}"]},
    "downstream.saes": [SMALL],
    "latent_probe": {"sae": OTHER, "smoothing": 10, "smoothing_authors": 100, "min_firings": 3},
    "synthetic_noise.further_saes": [],
    "nulls.saes": [],
    "architectures.classes": [],
    "figures.grid_groups": ["widths"],
    "figures.layers_groups": ["widths"],
    "figures.appendix_hookpoints": [],
}


@pytest.fixture(scope="module")
def workspace(tmp_path_factory):
    result = Workspace(tmp_path_factory.mktemp("arithmetic"))
    for path, value in FEW.items():
        result.change(path, value)
    result.repro_in_one_process("saes")
    return result


def manifest(workspace):
    return json.loads((workspace.folder / "data/model/manifest.json").read_text())


def test_the_stages_follow_the_models_manifest_and_units_of_two_arithmetics_never_mix(workspace):
    exact = np.load(workspace.folder / SHARD)
    assert "arithmetic" not in manifest(workspace)
    assert {workspace.receipt(name)["machine"]["arithmetic"] for name in FOLLOW} == {"float32"}
    computed = {name: sorted(workspace.receipt(name)["units"]["computed"]) for name in FOLLOW}

    workspace.change("arithmetic", "bfloat16")
    assert workspace.repro_in_one_process("saes") == ["model", "tokens", *FOLLOW]
    assert manifest(workspace)["arithmetic"] == "bfloat16"
    assert json.loads((workspace.reports.results / "data.json").read_text())["model"]["arithmetic"] == "bfloat16"
    for name in ("model", *FOLLOW):
        assert workspace.receipt(name)["machine"]["arithmetic"] == "bfloat16"
    for name in FOLLOW:
        assert sorted(workspace.receipt(name)["units"]["computed"]) == computed[name]
    rounded = np.load(workspace.folder / SHARD)
    assert 1e-4 < np.linalg.norm(rounded - exact) / np.linalg.norm(exact) < 0.05

    workspace.change("arithmetic", "float32")
    workspace.run("dvc", "repro", "--single-item", "model")
    said = workspace.run("dvc", "repro", "--single-item", "saes", check=False)
    assert "data/activations/train was made with bfloat16 products" in said and "the two do not mix" in said

    workspace.repro_in_one_process("saes", "--no-run-cache")
    assert [workspace.receipt(name)["units"]["computed"] for name in FOLLOW] == [[], []]
    assert np.array_equal(np.load(workspace.folder / SHARD), exact)


def test_auto_is_settled_once_and_what_was_taken_is_recorded(workspace):
    workspace.change("arithmetic", "auto")
    assert workspace.repro("model") == ["model"]
    receipt = workspace.receipt("model")
    taken = receipt["machine"]["arithmetic"]
    rates = receipt["notes"].get("FLOP/s of one thread")
    assert bool(rates) == rounds_by_itself()  # elsewhere bfloat16 cannot pay, and nothing is measured
    assert taken == (ProductRates(**rates).faster if rates else "float32")
    assert manifest(workspace).get("arithmetic", "float32") == taken
    assert workspace.repro("model") == []  # the lock holds: nothing is measured again
