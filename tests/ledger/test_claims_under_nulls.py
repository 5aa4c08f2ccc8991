"""Claims under nulls with planted numbers: what agrees is marked, what disagrees or is not touched is not."""

import dataclasses
import functools
from pathlib import Path

import pytest
from fake_nulls import WORLD, fake_sums
from fake_results import fake_results
from profiles import profile_params

from darkmatter.experiments.nulls.names import FROZEN_DECODER, GAUSSIAN, NULLS, RANDOM_MODEL, STORED, TRAINED
from darkmatter.experiments.nulls.results import results_of
from darkmatter.ledger.claims import load_claims
from darkmatter.ledger.estimands.evidence import Evidence
from darkmatter.ledger.judge import prediction_row, under_nulls
from darkmatter.ledger.nulls import null_evidence
from darkmatter.ledger.verdicts import subject_of
from darkmatter.report.nulls import null_note, nulls_content
from darkmatter.results.load import Results
from darkmatter.storage.artifacts import to_json, write_arrays

ROOT = Path(__file__).resolve().parents[2]
LEDGER = load_claims(ROOT / "claims.yaml")
CLAIMS = {claim.id: claim for claim in LEDGER.claims}
PREDICTIONS = {one.id: one for one in LEDGER.predictions if one.experiment == "nulls"}
PARAMS = profile_params("smollm2")
SUBJECT = subject_of(PARAMS)
MAIN = PARAMS.figures.main_hookpoint


@functools.cache
def quick():
    """The profile with few resamples."""
    bootstrap = PARAMS.decomposition.bootstrap.model_copy(update={"resamples": 400})
    return PARAMS.model_copy(update={"decomposition": PARAMS.decomposition.model_copy(update={"bootstrap": bootstrap})})


def evidence(folder: Path, **changed) -> Evidence:
    """Evidence of a profile with nulls in this world."""
    params = quick()
    arrays, trained = fake_sums(params, **changed)
    write_arrays(folder / STORED, arrays)
    write_arrays(folder / "sums" / f"{MAIN}.npz", dict(trained.arrays))
    run = fake_results(PARAMS).decomposition[MAIN]
    run = run | {"regressions": {name: {"rank": rank} for name, rank in trained.rank.items()}}
    results = Results({MAIN: run}, {"nulls": results_of(arrays, trained, params)})
    return Evidence(params, results, folder / "sums", 30, null_sums=folder / STORED)


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    return evidence(tmp_path_factory.mktemp("world"))


def test_each_null_is_judged_by_the_rule_of_the_claim(world):
    row = under_nulls(CLAIMS["norm-r2-range"], world, SUBJECT)
    assert [*row["nulls"]] == [TRAINED, *NULLS]
    outcomes = {null: one["outcome"] for null, one in row["nulls"].items()}
    expected = {TRAINED: "agrees", FROZEN_DECODER: "agrees", RANDOM_MODEL: "disagrees", GAUSSIAN: "disagrees"}
    assert outcomes == expected and row["non_diagnostic"] == [FROZEN_DECODER]
    for null, one in row["nulls"].items():
        assert len(one["components"]["r2"]) == len(PARAMS.nulls.saes) and one["touched"]
        for number in one["components"]["r2"]:
            assert number["value"] == pytest.approx(WORLD[null]["norm_r2"], abs=0.02) and number["sae"].startswith(MAIN)
    to_json(row)


def test_numbers_that_average_over_dimensions_are_those_of_the_null(world):
    row = under_nulls(CLAIMS["vector-r2-range"], world, SUBJECT)
    assert row["non_diagnostic"] == [FROZEN_DECODER, RANDOM_MODEL, GAUSSIAN]
    assert row["nulls"][GAUSSIAN]["components"]["r2"][0]["value"] == pytest.approx(0.7, abs=0.02)
    below = under_nulls(CLAIMS["vector-r2-below-norm"], world, SUBJECT)
    assert {null: one["outcome"] for null, one in below["nulls"].items()} == {
        TRAINED: "agrees",
        FROZEN_DECODER: "agrees",
        RANDOM_MODEL: "agrees",
        GAUSSIAN: "disagrees",
    }


def test_a_null_that_leaves_the_number_as_it_is_marks_nothing(world):
    """The norm of x is that of the activations, whatever decoder an SAE has."""
    row = under_nulls(CLAIMS["norm-test-x"], world, SUBJECT)
    assert {one["outcome"] for one in row["nulls"].values()} == {"agrees"}
    sums = null_evidence(world)
    same = dataclasses.replace(sums[FROZEN_DECODER], arrays=sums[TRAINED].arrays, opened={})
    sums[FROZEN_DECODER] = same
    again = under_nulls(CLAIMS["norm-test-x"], world, SUBJECT)
    assert not again["nulls"][FROZEN_DECODER]["touched"] and FROZEN_DECODER not in again["non_diagnostic"]
    assert again["nulls"][GAUSSIAN]["touched"] and GAUSSIAN in again["non_diagnostic"]
    del world.opened["nulls"]


def test_a_claim_that_two_saes_cannot_decide_is_open_and_says_why(world):
    row = under_nulls(CLAIMS["fvu-nl-flat"], world, SUBJECT)
    assert {one["outcome"] for one in row["nulls"].values()} == {"inconclusive"} and row["non_diagnostic"] == []
    assert "SAEs" in row["nulls"][GAUSSIAN]["reason"]
    no_slope = under_nulls(CLAIMS["fvu-nl-l0"], world, SUBJECT)["nulls"][GAUSSIAN]  # no two of one width
    assert no_slope["outcome"] == "inconclusive" and no_slope["touched"]


@pytest.mark.parametrize("name", ["asymptote-gap", "fvu-nl-other-layers", "norm-r2-layers", "pursuit-fvu"])
def test_claims_that_need_more_than_a_hookpoint_are_not_judged(world, name):
    assert under_nulls(CLAIMS[name], world, SUBJECT) == {}


def test_without_nulls_nothing_is_said(world):
    bare = dataclasses.replace(world, null_sums=None, opened={})
    assert under_nulls(CLAIMS["norm-r2-range"], bare, SUBJECT) == {}
    empty = Results(world.results.decomposition, {"nulls": {"hookpoint": MAIN, "nulls": []}})
    off = dataclasses.replace(world, results=empty, opened={})
    assert null_evidence(off) == {}


def test_the_page_marks_what_holds_under_a_null(world):
    rows = [
        {"id": name, "reads": "", "paper_value": 1, "judged_by": "analogue", "rule": CLAIMS[name].rule.model_dump()}
        | under_nulls(CLAIMS[name], world, SUBJECT)
        for name in ("norm-r2-range", "fvu-nl-flat", "pursuit-fvu")
    ]
    content = nulls_content(rows)
    assert len(content["columns"]) == 4 and [row["id"] for row in content["rows"]] == ["norm-r2-range"]
    assert content["rows"][0]["non_diagnostic"]
    cells = content["rows"][0]["cells"]
    assert [cell["answer"] for cell in cells] == ["yes", "yes", "no", "no"] and "in 2 SAEs" in cells[0]["numbers"][0][
        "text"
    ]
    assert null_note(rows[0]) == ["non-diagnostic: it holds under frozen decoder, too"] and null_note(rows[1]) == []
    assert nulls_content([{"id": "of-before-there-were-nulls"}]) == {"columns": [], "rows": []}


def outcome(identity, **changed):
    content = results_of(*fake_sums(quick(), **changed), quick())
    asked = quick().model_copy(update={"profile": PREDICTIONS[identity].profiles[0]})
    return prediction_row(PREDICTIONS[identity], Evidence(asked, Results({}, {"nulls": content}), Path(), 30))


@pytest.mark.parametrize("identity", PREDICTIONS)
def test_every_prediction_holds_where_its_picture_does(identity):
    row = outcome(identity)
    assert row["outcome"] == "agrees" and row["reason"] is None
    assert row["outcomes"].keys() == row["rule"]["real"].keys()


FAILS = {
    "gaussian-is-coded-worse": {GAUSSIAN: {"fvu": 0.2}},
    "gaussian-error-is-more-linear": {GAUSSIAN: {"vector_r2": 0.4}},
    "gaussian-has-the-same-nonlinear-error": {GAUSSIAN: {"vector_r2": 0.3}},
    "gaussian-error-norm-is-not-linear": {GAUSSIAN: {"norm_r2": 0.6}},
    "frozen-decoder-looks-linear": {FROZEN_DECODER: {"norm_r2": 0.6}},
    "random-model-is-in-the-printed-range": {RANDOM_MODEL: {"vector_r2": 0.9}},
    "gaussian-error-norm-is-not-linear-on-gemma": {GAUSSIAN: {"norm_r2": 0.6}},
    "gaussian-error-is-more-linear-on-gemma": {GAUSSIAN: {"vector_r2": 0.4}},
}


@pytest.mark.parametrize("identity", PREDICTIONS)
def test_every_prediction_fails_in_a_world_of_another_kind(identity):
    assert outcome(identity, **FAILS[identity])["outcome"] == "disagrees"


def test_a_prediction_of_two_numbers_fails_with_either():
    changed = {FROZEN_DECODER: {"vector_r2": 0.5}}
    assert outcome("frozen-decoder-looks-linear", **changed)["outcomes"] == {
        "vector_r2": "disagrees",
        "norm_r2_lead": "agrees",
    }
