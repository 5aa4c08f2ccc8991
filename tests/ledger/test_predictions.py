"""Predictions in claims.yaml: what they may say."""

import hashlib
from pathlib import Path

import pytest
import yaml

from darkmatter.experiments.registry import records
from darkmatter.ledger.claims import ClaimsError, load_claims
from darkmatter.ledger.estimands.registry import estimands
from darkmatter.ledger.predictions import Prediction, prediction_sha256

ROOT = Path(__file__).parents[2]


def prediction(**changes) -> dict:
    return {
        "id": "few-directions",
        "says": "Three directions hold more than half.",
        "why": "a guess",
        "profiles": ["smollm2"],
        "estimand": {"name": "share", "computes": "the share", "results": ["results/a.json"]},
        "rule": {"test": "inside", "level": 0.95, "resample": ["context"], "real": {"share": {"low": 0.5}}},
        "experiment": "a",
    } | changes


def ledger(*predictions: dict) -> dict:
    outcomes = {"agrees": "a", "disagrees": "b", "inconclusive": "c"}
    return {
        "paper": {"title": "T", "sha256": hashlib.sha256(b"").hexdigest(), "characters": 1},
        "editions": [{"number": 1, "date": "2026-01-01", "why": "the first"}],
        "tested": 0,
        "tests": {"inside": outcomes},
        "conventions": {},
        "claims": [],
        "predictions": [*predictions],
    }


def load(folder: Path, *predictions: dict) -> list[Prediction]:
    path = folder / "claims.yaml"
    path.write_text(yaml.safe_dump(ledger(*predictions), sort_keys=False), encoding="utf-8")
    return load_claims(path).predictions


def test_a_prediction_loads_and_is_no_test(tmp_path):
    (one,) = load(tmp_path, prediction())
    assert one.rule.real["share"].low == 0.5


def test_a_prediction_that_is_used_twice_is_refused(tmp_path):
    with pytest.raises(ClaimsError, match="id 'few-directions' is used twice"):
        load(tmp_path, prediction(), prediction())


RULE = prediction()["rule"]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"quote": "a sentence"}, "unknown key"),
        ({"profiles": []}, "at least 1 item"),
        ({"rule": {"test": "inside", "real": {"share": {"low": 0.5}}}}, "needs the test `inside`, with `level`"),
        ({"rule": RULE | {"analogue": {"share": {"low": 0}}}}, "regions stand under `real` alone"),
        ({"rule": RULE | {"otherwise": "paper-inconsistent"}}, "regions stand under `real` alone"),
    ],
)
def test_a_prediction_that_cannot_be_judged_is_refused(tmp_path, changes, message):
    with pytest.raises(ClaimsError, match=message):
        load(tmp_path, prediction(**changes))


@pytest.mark.parametrize(
    "changes",
    [
        {"says": "Three directions hold less than half."},
        {"profiles": ["smollm2", "smoke"]},
        {"estimand": prediction()["estimand"] | {"name": "other_share"}},
        {"rule": RULE | {"real": {"share": {"low": 0.4}}}},
    ],
)
def test_the_hash_covers_what_decides_the_outcome(changes):
    before, after = (prediction_sha256(Prediction.model_validate(prediction(**what))) for what in ({}, changes))
    assert before != after


def test_the_hash_does_not_cover_the_reason():
    one, other = (Prediction.model_validate(prediction(why=why)) for why in ("a guess", "another word for it"))
    assert prediction_sha256(one) == prediction_sha256(other)


def test_something_computes_the_estimand_of_every_prediction():
    for one in load_claims(ROOT / "claims.yaml").predictions:
        assert one.estimand.name in estimands()
        assert f"results/{records()[one.experiment].name}.json" in one.estimand.results
