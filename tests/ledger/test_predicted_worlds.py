"""Worlds in which the predictions about the rank of LinearError hold, and ones in which each of them fails."""

import functools
from pathlib import Path

import numpy as np
import pytest
from fake_linear_rank import fake_sums
from profiles import profile_params

from darkmatter.audit.derive import Deriver, numbers_of
from darkmatter.experiments.linear_rank.results import results_of
from darkmatter.ledger.claims import load_claims
from darkmatter.ledger.estimands.evidence import Evidence
from darkmatter.ledger.judge import prediction_row
from darkmatter.ledger.predictions import prediction_sha256
from darkmatter.results.load import Results
from darkmatter.storage.artifacts import plain
from darkmatter.storage.paths import reports_of

ROOT = Path(__file__).parents[2]
PARAMS = profile_params("smollm2")
PREDICTIONS = {one.id: one for one in load_claims(ROOT / "claims.yaml").predictions if one.experiment == "linear_rank"}
WIDTHS = {spec.path: spec.d_sae for spec in PARAMS.sae_specs()}
D_MODEL = 576


def broad(path):
    """A slow fall over all dimensions, as the predictions have it."""
    return np.exp(-np.arange(D_MODEL) / 250)


def low(path):
    """Nearly all in three directions."""
    return np.where(np.arange(D_MODEL) < 3, 100.0, 0.001)


def flat(path):
    """No direction above another."""
    return np.ones(D_MODEL)


def widening(path):
    """The more latents, the more directions."""
    return np.where(np.arange(D_MODEL) < 100 * np.log2(WIDTHS[path] / 256), 1.0, 1e-9)


def one_layer(path):
    return low(path) if path.startswith("resid_post.29/") else broad(path)


@functools.cache
def evidence(spectrum=broad, **options):
    content = results_of(*fake_sums(PARAMS, spectrum, **options), PARAMS)
    return Evidence(PARAMS, Results({}, {"linear_rank": content}), Path(), 30)


def outcome(identity, world):
    return prediction_row(PREDICTIONS[identity], world)["outcome"]


@pytest.mark.parametrize("identity", PREDICTIONS)
def test_every_prediction_holds_where_its_picture_does(identity):
    row = prediction_row(PREDICTIONS[identity], evidence())
    assert row["outcome"] == "agrees" and row["reason"] is None
    assert {*row["outcomes"].values()} == {"agrees"} and row["outcomes"].keys() == row["rule"]["real"].keys()
    assert row["sha256"] == prediction_sha256(PREDICTIONS[identity])


FAILS = {
    "rank-24-holds-less-than-a-third": {"spectrum": low},
    "half-needs-a-twelfth-of-the-dimensions": {"spectrum": low},
    "rank-hardly-moves-with-size": {"spectrum": widening},
    "rank-is-high-at-every-layer": {"spectrum": one_layer},
    "linear-error-is-not-in-the-first-components": {"within": 0.7},
    "rank-24-recovers-less-than-half": {"recovered": 0.8},
}


@pytest.mark.parametrize("identity", PREDICTIONS)
def test_every_prediction_fails_in_a_world_of_another_kind(identity):
    assert outcome(identity, evidence(**FAILS[identity])) == "disagrees"


def test_half_of_a_flat_spectrum_takes_too_many_directions():
    assert outcome("half-needs-a-twelfth-of-the-dimensions", evidence(flat)) == "disagrees"


def test_on_the_edge_nothing_is_decided():
    assert outcome("rank-24-recovers-less-than-half", evidence(recovered=0.5)) == "inconclusive"


def test_a_profile_that_it_was_not_made_for_is_not_judged():
    params = PARAMS.model_copy(update={"profile": "another"})
    other = Evidence(params, evidence().results, Path(), 30)
    for prediction in PREDICTIONS.values():
        row = prediction_row(prediction, other)
        assert row["outcome"] is None and "this profile is another" in row["reason"] and row["components"] == {}


def test_without_results_nothing_is_judged():
    bare = Evidence(PARAMS, Results({}, {}), Path(), 30)
    row = prediction_row(PREDICTIONS["rank-24-holds-less-than-a-third"], bare)
    assert row["outcome"] is None and row["reason"] == "no results of linear_rank"


@pytest.fixture
def deriver():
    """Of a repository whose committed outcomes are those of this evidence."""
    made = Deriver.__new__(Deriver)
    made.params, made.evidence, made.predictions = PARAMS, evidence(), PREDICTIONS
    made.reports = reports_of(PARAMS.profile)
    made.predicted = {name: plain(prediction_row(one, evidence())) for name, one in PREDICTIONS.items()}
    return made


def test_a_prediction_is_derived_again(deriver):
    done = deriver.prediction(PREDICTIONS["rank-24-holds-less-than-a-third"])
    assert done.comparison.differing == [] and done.comparison.derived > 20 and done.lacking is None
    said = numbers_of(done)
    assert said[0].startswith("  share 24: 5 values") and said[0].endswith("agrees") and said[-1] == "  outcome agrees"


def test_an_outcome_that_was_edited_differs(deriver):
    name = "rank-is-high-at-every-layer"
    deriver.predicted[name]["outcome"] = "disagrees"
    deriver.predicted[name]["components"]["share_24"][0]["value"] += 0.01
    (one, other) = deriver.prediction(PREDICTIONS[name]).comparison.differing
    assert {one[0], other[0]} == {
        f"predictions[{name}].components.share_24[0].value",
        f"predictions[{name}].outcome",
    }


def test_a_prediction_that_was_never_judged_is_missed(deriver):
    deriver.predicted = {}
    assert "does not have it" in deriver.prediction(PREDICTIONS["rank-hardly-moves-with-size"]).lacking
