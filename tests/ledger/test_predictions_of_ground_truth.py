"""Worlds in which the predictions about synthetic SAEs hold, and ones in which each of them fails."""

import functools
from pathlib import Path

import pytest
from fake_ground_truth import PURSUED, WORLD, fake_sums
from profiles import profile_params

from darkmatter.experiments.ground_truth.results import results_of
from darkmatter.ledger.claims import load_claims
from darkmatter.ledger.estimands.evidence import Evidence
from darkmatter.ledger.judge import prediction_row
from darkmatter.results.load import Results

ROOT = Path(__file__).parents[2]
PARAMS = profile_params("smollm2")
PREDICTIONS = {one.id: one for one in load_claims(ROOT / "claims.yaml").predictions if one.experiment == "ground_truth"}


def quick():
    """The profile with few resamples."""
    bootstrap = PARAMS.decomposition.bootstrap.model_copy(update={"resamples": 400})
    return PARAMS.model_copy(update={"decomposition": PARAMS.decomposition.model_copy(update={"bootstrap": bootstrap})})


def evidence(world=WORLD, pursued=PURSUED):
    content = results_of(fake_sums(quick(), world, pursued), quick())
    return Evidence(PARAMS, Results({}, {"ground_truth": content}), Path(), 30)


@functools.cache
def picture():
    return evidence()


@pytest.mark.parametrize("identity", PREDICTIONS)
def test_every_prediction_holds_where_its_picture_does(identity):
    row = prediction_row(PREDICTIONS[identity], picture())
    assert row["outcome"] == "agrees" and row["reason"] is None
    assert row["outcomes"].keys() == row["rule"]["real"].keys()


SWAPPED = {name: ends[::-1] for name, ends in WORLD.items()}
FAILS = {
    "linear-error-is-absent-features": {"world": WORLD | {"missed": (0.1, 0.9)}},  # what the SAE has, it has badly
    "nonlinear-error-is-mixed": {"world": WORLD | {"noise": (1.0, 1.0)}},  # codes are noise
    "absent-features-are-as-linear-as-large": {"world": WORLD | {"bend": (0.9, 0.9)}},  # no superposition
    "pursuit-recovers-features-where-it-has-them": {
        "world": SWAPPED,
        "pursued": {name: ends[::-1] for name, ends in PURSUED.items()},
    },
    "nonlinear-part-is-not-specific": {"world": WORLD | {"noise": (0.1, 0.6)}},  # wide SAEs introduce more
}


@pytest.mark.parametrize("identity", PREDICTIONS)
def test_every_prediction_fails_in_a_world_of_another_kind(identity):
    assert prediction_row(PREDICTIONS[identity], evidence(**FAILS[identity]))["outcome"] == "disagrees"
