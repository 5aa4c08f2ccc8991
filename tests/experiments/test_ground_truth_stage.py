"""Synthetic rows and SAEs of them: what is drawn, every architecture, and the stage as a whole on the smoke profile."""

from pathlib import Path

import numpy as np
import pytest
from profiles import profile_params
from schema_errors import errors

import stages.ground_truth
from darkmatter.experiments.ground_truth.names import STORED
from darkmatter.experiments.ground_truth.params import Architecture, GroundTruth
from darkmatter.experiments.ground_truth.train import CODES, DECODER, train_synthetic
from darkmatter.experiments.ground_truth.world import EVAL, TRAIN, TRUTH, draw_world, synthetic_model
from darkmatter.params.schema import Params
from darkmatter.runner.stage import Stage
from darkmatter.storage.artifacts import read_arrays, read_json, sha256_path

PARAMS = profile_params("smoke")
SETTINGS = PARAMS.ground_truth.world
ROWS = {"train_rows": 3000, "contexts": 40, "context_rows": 150}
TRAINING = PARAMS.saes.training.model_dump() | {"batch_size": 128}


def drawn_in(folder: Path, **changed) -> Path:
    folder.mkdir()
    draw_world(folder, (SETTINGS.model_dump() | changed), **ROWS)
    return folder


@pytest.fixture(scope="module")
def drawn(tmp_path_factory):
    return drawn_in(tmp_path_factory.mktemp("drawn") / "world")


def test_rows_are_the_sum_of_features_bias_and_dense(drawn):
    truth, x = read_arrays(drawn / TRUTH), np.load(drawn / EVAL)
    assert x.shape == (40, 150, 16) and np.load(drawn / TRAIN).shape == (20, 150, 16)
    left = x.reshape(-1, 16) - truth["weights"] @ truth["directions"] - truth["dense"]
    np.testing.assert_allclose(left, np.tile(left[0], (len(left), 1)), atol=1e-5)  # the bias, the same on each row
    np.testing.assert_allclose(np.linalg.norm(truth["directions"], axis=1), 1, rtol=1e-5)


def test_dense_has_its_share_of_the_variance_in_its_directions(tmp_path):
    folder = drawn_in(tmp_path / "world", dense_share=0.3, dense_rank=4)
    dense, x = read_arrays(folder / TRUTH)["dense"].astype(np.float64), np.load(folder / EVAL).reshape(-1, 16)
    share = dense.var(0).sum() / x.var(0, dtype=np.float64).sum()
    assert share == pytest.approx(0.3, abs=0.02)
    values = np.linalg.eigvalsh(np.cov(dense.T))
    np.testing.assert_allclose(values[-4:], values[-4:].mean(), rtol=0.12)
    assert values[:-4].max() < 1e-6 * values[-1]


def test_features_fire_as_often_as_they_should_and_children_with_their_parent_alone(drawn):
    weights, roots, children = read_arrays(drawn / TRUTH)["weights"], SETTINGS.roots, SETTINGS.children
    wanted = 1 / np.arange(1, SETTINGS.features + 1)
    wanted = (wanted - wanted[-1]) / (wanted[0] - wanted[-1])
    wanted = SETTINGS.least_often + (SETTINGS.most_often - SETTINGS.least_often) * wanted
    error = np.sqrt(wanted * (1 - wanted) / len(weights))
    alone = np.r_[:roots, roots * (1 + children) : SETTINGS.features]  # children fire oftener: with their parent
    assert (abs((weights > 0).mean(0) - wanted) < 5 * error)[alone].all()
    model = synthetic_model(SETTINGS)
    families = {root.feature_index: [child.feature_index for child in root.children] for root in model.hierarchy.roots}
    assert len(families) == roots and all(len(own) == children for own in families.values())
    for root, own in families.items():
        assert (weights[:, own] > 0).any() and not (weights[weights[:, root] == 0][:, own] > 0).any()
    free = weights[:, roots * (1 + children) :] > 0
    correlations = np.corrcoef(free.T)[np.triu_indices(free.shape[1], 1)]
    assert abs(correlations).max() > 5 / np.sqrt(len(free))  # firing is correlated beside the hierarchy


def test_the_seed_decides_the_rows_and_training_sees_none_that_are_scored(drawn, tmp_path):
    assert sha256_path(drawn_in(tmp_path / "again")) == sha256_path(drawn)
    other = drawn_in(tmp_path / "other", seed=1)
    assert not np.isclose(np.load(other / EVAL), np.load(drawn / EVAL)).all(-1).any()
    sides = [{row.tobytes() for row in np.load(drawn / side).reshape(-1, 16)} for side in (TRAIN, EVAL)]
    assert not sides[0] & sides[1]


@pytest.mark.parametrize("architecture", Architecture.__args__)
def test_every_architecture_learns_and_has_the_l0_that_is_wanted(architecture, drawn, tmp_path):
    arguments = {"d_sae": 32, "k": 3, "seed": 0, "train_tokens": 128 * 500, "training": TRAINING}
    train_synthetic(tmp_path, str(drawn), architecture, **arguments)
    codes, decoder = read_arrays(tmp_path / CODES), read_arrays(tmp_path / DECODER)
    np.testing.assert_allclose(np.linalg.norm(decoder["W_dec"], axis=1), 1, rtol=1e-4)
    assert (codes["value"] >= 0).all() or architecture == "matching_pursuit"
    assert 3 / 1.5 < codes["l0"].mean() < 3 * 1.5
    x = np.load(drawn / EVAL).reshape(-1, 16).astype(np.float64)
    rebuilt = (codes["value"][..., None] * decoder["W_dec"][codes["index"]]).sum(1) + decoder["b_dec"]
    fvu = np.square(x - rebuilt).sum() / np.square(x - x.mean(0)).sum()
    curve = read_json(tmp_path / "training.json")["curve"]
    assert fvu < 0.6 and fvu == pytest.approx(
        curve[-1]["fvu"], rel=0.2
    )  # codes and decoder are those that were trained


def run_stage(params: Params = PARAMS) -> Stage:
    stage = Stage("ground_truth", params, Path(stages.ground_truth.__file__))
    stage.reports.results.mkdir(parents=True, exist_ok=True)
    stages.ground_truth.main(stage)
    return stage


def test_the_stage_leaves_every_sae_and_a_second_run_finds_its_units(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("DARKMATTER_WORKERS", "1")
    first = run_stage()
    results = first.reports.results
    content = read_json(results / "ground_truth.json")
    assert errors(content, "ground_truth") == []
    names = [sae.name for sae in PARAMS.ground_truth.saes]
    assert [sae["name"] for sae in content["saes"]] == names and len(names) == 4
    for sae in content["saes"]:
        assert 0 < sae["fvu_nonlinear"]["value"] < sae["fvu"]["value"] < 1
        assert [one["cosine"] for one in sae["by_cosine"]] == PARAMS.ground_truth.cosines
    narrow, wide = content["saes"][:2]
    assert narrow["by_cosine"][0]["known"] < wide["by_cosine"][0]["known"] and wide["fvu"] != narrow["fvu"]
    assert len(first.units.computed) == 8 and first.units.reused == []

    again = run_stage()
    assert again.units.computed == [] and len(again.units.reused) == 8
    assert read_json(results / "ground_truth.json") == content
    assert not stages.ground_truth.WORK.exists()


def test_without_architectures_the_stage_leaves_empty_results(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    off = PARAMS.ground_truth.model_copy(update={"architectures": []})
    stage = run_stage(PARAMS.model_copy(update={"ground_truth": off}))
    content = read_json(stage.reports.results / "ground_truth.json")
    assert content["saes"] == [] and errors(content, "ground_truth") == []
    assert read_arrays(stage.reports.results / STORED) == {} and stage.units.computed == []


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"k": 9}, "k 9 exceeds the 8 latents"),
        ({"expansions": [2, 0.5]}, "expansions rise"),
        ({"world": SETTINGS.model_dump() | {"dense_rank": 17}}, "dense_rank 17 exceeds d_model 16"),
        ({"world": SETTINGS.model_dump() | {"roots": 11}}, "more than the 32 features"),
    ],
)
def test_options_that_do_not_fit_are_refused(changes, message):
    with pytest.raises(ValueError, match=message):
        GroundTruth.model_validate(PARAMS.ground_truth.model_dump() | changes)
