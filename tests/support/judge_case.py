"""A judge with a key and a store of its own, latents to judge, and the stage in a folder of its own."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from fake_endpoint import Letters, planted
from profiles import profile_params

from darkmatter.experiments.interpretability.compute import Texts
from darkmatter.experiments.interpretability.judge.judge import Judge
from darkmatter.experiments.interpretability.judge.prompts import predict_question
from darkmatter.experiments.interpretability.latent_examples import (
    ExampleCounts,
    choose_examples,
    cut_windows,
    find_firings,
)
from darkmatter.experiments.interpretability.params import Interpretability
from darkmatter.models.load import random_model, save_model
from darkmatter.runner.stage import Stage
from darkmatter.storage.artifacts import write_arrays, write_json
from stages.interpretability import main

PLAN = ExampleCounts(deciles=3, examples_per_decile=2, negatives=6, explained_examples=4, seed=0)
SOON = {"retry_after_ms": "5"}  # how long a server wants to be left alone for
QUESTION = predict_question("the letter z", ["a z", "b", "c"])


def settings(url: str | None, **changed: Any) -> Interpretability:
    own = profile_params("smoke").interpretability.model_dump()
    fast = {"model": "m", "timeout_seconds": 5, "retries": 2, "key_variable": "DARKMATTER_TEST_KEY"}
    return Interpretability.model_validate(own | fast | {"endpoint": url} | changed)


def make_judge(url: str, store: Path, **changed: Any) -> Judge:
    return Judge(settings(url, **changed), "sk-secret", store)


def work_on(letters: str = "zq") -> tuple[list, Texts]:
    tokens, codes = planted(contexts=12, positions=80, letters=letters)
    firings = find_firings(codes, 12, len(letters), 8)
    texts = Texts(cut_windows(tokens, 0, 80, 8), Letters())
    return [("linear", choose_examples(firings, i, PLAN, 0), firings) for i in range(len(letters))], texts


def stage_with(monkeypatch: pytest.MonkeyPatch, folder: Path, **changed: Any) -> Stage:
    """The stage in a folder of its own, with a key in the environment."""
    monkeypatch.chdir(folder)
    monkeypatch.setenv("DARKMATTER_TEST_KEY", "sk-secret")
    params = profile_params("smoke")
    own = settings(changed.pop("endpoint", None), **changed)
    return Stage(
        "interpretability", params.model_copy(update={"interpretability": own}), Path(main.__code__.co_filename)
    )


def stage_inputs(folder: Path, letters: str) -> None:
    """What the stage reads, with planted latents: contexts of 127 positions, of which the first 16 have no rows."""
    tokens, codes = planted(contexts=16, positions=111, letters=letters, first=16)
    (folder / "data" / "tokens").mkdir(parents=True)
    np.save(folder / "data" / "tokens" / "eval.npy", tokens)
    for part in ("linear", "nonlinear"):
        write_arrays(folder / "data" / "error_saes" / f"{part}-s0" / "codes.npz", codes)
        write_json(folder / "data" / "error_saes" / f"{part}-s0" / "training.json", {"d_sae": len(letters)})
    model, tokenizer = random_model(profile_params("smoke").model)
    save_model(folder / "data" / "model", model, tokenizer, {"label": "x", "source": "random", "package": None})
