"""Worlds in which the predictions about architectures hold, and ones in which each of them fails."""

import functools
from pathlib import Path
from typing import Any, get_args

import pytest
from fake_architectures import WORLD, fake_sums
from profiles import profile_params

from darkmatter.experiments.architectures.estimands import estimands
from darkmatter.experiments.architectures.params import TrainingClass
from darkmatter.ledger.claims import load_claims
from darkmatter.ledger.estimands.evidence import Evidence
from darkmatter.ledger.judge import prediction_row
from darkmatter.params.conventions import PRIMARY
from darkmatter.params.schema import Params
from darkmatter.results.load import Results

ROOT = Path(__file__).resolve().parents[2]
PREDICTIONS = {
    one.id: one for one in load_claims(ROOT / "claims.yaml").predictions if one.experiment == "architectures"
}


@functools.cache
def quick(profile: str) -> Params:
    """A profile that predictions are made for, with few resamples."""
    params = profile_params(profile)
    bootstrap = params.decomposition.bootstrap.model_copy(update={"resamples": 400})
    return params.model_copy(update={"decomposition": params.decomposition.model_copy(update={"bootstrap": bootstrap})})


@functools.cache
def content(profile: str, changed: frozenset[tuple[str, tuple[float, float]]]) -> dict[str, Any]:
    return {"estimands": estimands(fake_sums(quick(profile), **dict(changed)), quick(profile), PRIMARY[0])}


def outcome(identity: str, **changed: tuple[float, float]) -> dict[str, Any]:
    (profile,) = PREDICTIONS[identity].profiles
    results = Results({}, {"architectures": content(profile, frozenset(changed.items()))})
    return prediction_row(PREDICTIONS[identity], Evidence(quick(profile), results, Path(), 30))


def test_the_predictions_are_about_every_class():
    assert set(quick("smollm2-full").architectures.classes) == set(get_args(TrainingClass))


# Worlds of predictions that do not hold in the one of the others.
HOLDS = {"an-l1-penalty-lowers-nonlinear-error-on-gemma": {"standard": (0.33, 0.1)}}


@pytest.mark.parametrize("identity", PREDICTIONS)
def test_every_prediction_holds_where_its_picture_does(identity):
    row = outcome(identity, **HOLDS.get(identity, {}))
    assert row["outcome"] == "agrees" and row["reason"] is None


FAILS: dict[str, dict[str, tuple[float, float]]] = {
    "nonlinear-error-hardly-follows-the-architecture": {"gated": (0.4, 0.2)},
    "nonlinear-error-varies-less-than-fvu": {"standard": (0.26, 0.18), "matryoshka_batchtopk": (0.25, 0.08)},
    "shrunk-error-is-more-linear": {"standard": (0.25, 0.125)},
    "pursuit-error-is-less-linear": {"matching_pursuit": (0.25, 0.1)},
    "a-skip-of-rank-64-moves-both-parts": {"skip_64": (0.2, 0.12)},
    "a-skip-of-rank-8-does-little": {"skip_8": (0.18, 0.11)},
    "an-l1-penalty-lowers-nonlinear-error-on-gemma": {"standard": (0.33, 0.13)},
    "a-skip-of-rank-64-moves-both-parts-on-gemma": {"skip_64": (0.2, 0.12)},
}


@pytest.mark.parametrize("identity", PREDICTIONS)
def test_every_prediction_fails_in_a_world_of_another_kind(identity):
    assert outcome(identity, **FAILS[identity])["outcome"] == "disagrees"


@pytest.mark.parametrize("skip_64", [(0.24, 0.084), (0.16, 0.118)])
def test_a_prediction_of_two_parts_fails_with_either(skip_64):
    assert WORLD["skip_64"] != skip_64
    assert outcome("a-skip-of-rank-64-moves-both-parts", skip_64=skip_64)["outcome"] == "disagrees"


def test_the_seed_is_in_every_interval():
    for identity in PREDICTIONS:
        row = outcome(identity)
        for component in row["components"].values():
            assert all("seed" in one["resampled"] for one in component), identity
