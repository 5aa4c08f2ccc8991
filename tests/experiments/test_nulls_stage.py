"""The stage nulls as a whole, on the tiny model of the smoke profile: units, their resumption, and what it leaves."""

from pathlib import Path

import numpy as np
from profiles import profile_params
from schema_errors import errors

import stages.nulls
from darkmatter.decomposition.shared_moments import prepare
from darkmatter.experiments.nulls.estimates import NullSums
from darkmatter.experiments.nulls.names import FROZEN_DECODER, GAUSSIAN, NULLS, RANDOM_MODEL, STORED
from darkmatter.experiments.nulls.results import null_sums
from darkmatter.models.extract import extract, release_model
from darkmatter.models.load import random_model, save_model
from darkmatter.params.schema import Params
from darkmatter.runner.stage import Stage
from darkmatter.storage.artifacts import read_arrays, read_json
from darkmatter.storage.paths import ACTIVATIONS, DECOMPOSITION, MODEL, TOKENS

PARAMS = profile_params("smoke")
MAIN = PARAMS.figures.main_hookpoint


def make_inputs() -> None:
    """Model, tokens, activations and moments, as the stages before it leave them."""
    for folder in (MODEL, TOKENS, *(ACTIVATIONS / side for side in ("train", "eval"))):
        folder.mkdir(parents=True)
    save_model(MODEL, *random_model(PARAMS.model), {"label": "tiny", "source": "random", "package": None})
    random, tokens = np.random.default_rng(0), PARAMS.tokens
    for side, count in {"train": tokens.train_contexts, "eval": tokens.eval_contexts}.items():
        np.save(TOKENS / f"{side}.npy", random.integers(0, 256, (count, tokens.context_length)).astype(np.int32))
        arguments = {"model": str(MODEL), "tokens": str(TOKENS / f"{side}.npy"), "start": 0, "stop": count}
        arguments |= {"first_position": tokens.first_position, "batch_contexts": 8, "with_loss": False}
        (ACTIVATIONS / side / MAIN).mkdir()
        extract(ACTIVATIONS / side / MAIN, hookpoints=[MAIN], **arguments)
    release_model()
    moments = DECOMPOSITION / PARAMS.profile / MAIN / "moments"
    moments.mkdir(parents=True)
    options = PARAMS.decomposition.model_dump(include={"fit_share", "folds", "split_seed", "eigen_cutoff"})
    prepare(moments, activations=str(ACTIVATIONS / "eval" / MAIN), **options)


def run_stage(params: Params = PARAMS) -> Stage:
    stage = Stage("nulls", params, Path(stages.nulls.__file__))
    for folder in (stage.reports.decomposition, stage.reports.sums):
        folder.mkdir(parents=True, exist_ok=True)
    stages.nulls.main(stage)
    return stage


def test_the_stage_leaves_every_null_and_a_second_run_finds_its_units(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("DARKMATTER_WORKERS", "1")
    make_inputs()
    results = Path("reports") / PARAMS.profile / "results"
    # In place of the trained SAEs, which are another stage's: those of the frozen decoder, on the same rows.
    monkeypatch.setattr(
        stages.nulls, "trained_sums", lambda params: null_sums(read_arrays(results / STORED))[FROZEN_DECODER]
    )
    first = run_stage()
    content, arrays = read_json(results / "nulls.json"), read_arrays(results / STORED)
    assert errors(content, "nulls") == []
    assert [row["null"] for row in content["nulls"]] == ["trained", *NULLS]
    number = {row["null"]: row["saes"][0]["estimates"]["token"]["paper"] for row in content["nulls"]}
    for null in NULLS:
        assert 0 < number[null]["fvu_nonlinear"]["value"] < number[null]["fvu"]["value"] < 1
    assert number["trained"]["fvu"] == number[FROZEN_DECODER]["fvu"]
    assert number[GAUSSIAN]["norm_test"]["x"]["value"] != number[FROZEN_DECODER]["norm_test"]["x"]["value"]
    rows = {null: arrays[f"{null}/rows"] for null in NULLS}
    np.testing.assert_array_equal(rows[RANDOM_MODEL], rows[GAUSSIAN])
    assert [lead["value"] for lead in content["estimands"]["frozen_decoder_r2"]["norm_r2_lead"]] == [0, 0]
    shards = len(range(0, PARAMS.nulls.random_model_contexts, 5)) + len(range(0, PARAMS.tokens.eval_contexts, 5))
    assert len(first.units.computed) == shards + 2 * 2 * len(NULLS) and first.units.reused == []

    again = run_stage()
    assert again.units.computed == [] and len(again.units.reused) == len(first.units.computed)
    assert read_json(results / "nulls.json") == content
    assert not stages.nulls.WORK.exists()


def test_without_saes_the_stage_leaves_empty_results(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    make_inputs()
    off = PARAMS.model_copy(update={"nulls": PARAMS.nulls.model_copy(update={"saes": []})})
    monkeypatch.setattr(stages.nulls, "trained_sums", lambda params: NullSums({}, {}))
    stage = run_stage(off)
    content = read_json(stage.reports.results / "nulls.json")
    assert content["nulls"] == [] and errors(content, "nulls") == []
    assert read_arrays(stage.reports.results / STORED) == {} and stage.units.computed == []
