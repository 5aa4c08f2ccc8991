"""What a rule makes of intervals, and who may say what."""

import copy
import dataclasses

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st
from profiles import composed, profile_params

from darkmatter.ledger.claims import EXACT_KINDS, Claim, load_claims
from darkmatter.ledger.rules import Region
from darkmatter.ledger.verdicts import (
    APPENDIX_D,
    PAPER_MODELS,
    Subject,
    component_outcomes,
    conclude,
    out_of_scope,
    outcome,
    place,
    regions_of,
    said,
    subject_of,
)
from darkmatter.params.schema import parse_params

CLAIMS = {claim.id: claim for claim in load_claims().claims}
HERE = Subject("SmolLM2", None, frozenset({"resid_post.12"}), False, False, False)
PAPERS = Subject("gemma-2-9b", "gemma-2-9b", frozenset({"resid_post.20"}), True, True, True)
OUTCOMES = ("agrees", "disagrees", "inconclusive")


def interval(low: float | None, high: float | None, value: float | None = 0.0, **more) -> dict:
    return {"value": value, "low": low, "high": high, "reason": None if value is not None else "why"} | more


@pytest.mark.parametrize(
    ("region", "low", "high", "expected"),
    [
        ({"low": 0.2, "high": 0.8}, 0.3, 0.7, "inside"),
        ({"low": 0.2, "high": 0.8}, 0.2, 0.8, "inside"),
        ({"low": 0.2, "high": 0.8}, 0.1, 0.7, "across"),
        ({"low": 0.2, "high": 0.8}, 0.3, 0.9, "across"),
        ({"low": 0.2, "high": 0.8}, 0.1, 0.9, "across"),
        ({"low": 0.2, "high": 0.8}, 0.81, 0.9, "outside"),
        ({"low": 0.2, "high": 0.8}, -1, 0.19, "outside"),
        ({"low": 0.2, "high": 0.8}, 0.8, 0.9, "across"),  # touches
        ({"low": 1, "high": 1}, 1, 1, "inside"),
        ({"low": 1, "high": 1}, 0.99, 0.99, "outside"),
        ({"low": 0}, 0.001, 2, "inside"),
        ({"low": 0}, 0, 2, "across"),  # a sign excludes zero
        ({"low": 0}, 0, 0, "across"),
        ({"low": 0}, -2, -0.001, "outside"),
        ({"high": 0}, -2, -0.001, "inside"),
        ({"high": 0}, -2, 0, "across"),
        ({"high": 0}, 0.001, 2, "outside"),
        ({"low": 0.5}, 0.5, 2, "inside"),  # no sign: the bound belongs to the region
        ({"low": 0}, None, None, "across"),
        ({"low": 0}, 3e-17, 2, "across"),  # zero but for the order of a sum
        ({"low": 0}, 1e-9, 2, "inside"),
        ({"high": 0}, -2, -3e-17, "across"),
        ({"low": 0}, -2, 3e-17, "across"),
        ({"low": 0.2, "high": 0.8}, 0.2 - 1e-16, 0.8 + 2e-16, "inside"),
        ({"low": 0.2, "high": 0.8}, 0.2 - 1e-7, 0.8, "across"),
        ({"low": 0.2, "high": 0.8}, 0.8 + 2e-16, 0.9, "across"),
        ({"low": 1, "high": 1}, 1 - 1e-16, 1 + 3e-16, "inside"),
    ],
)
def test_place(region, low, high, expected):
    assert place(interval(low, high), Region(**region)) == expected


def test_null_and_too_low_a_level_establish_nothing():
    region = Region(low=0)
    assert place(interval(None, None, value=None), region) == "null"
    assert place(interval(1, 2, short="its interval is at 0.95"), region) == "across"
    assert place(interval(-2, -1, short="its interval is at 0.95"), region) == "across"


A, B = Region(low=0), Region(low=0.2, high=0.8, every="sae")
IN, OUT, OPEN, NULL = interval(1, 2), interval(-2, -1), interval(-1, 1), interval(None, None, value=None)
B_IN, B_OUT = interval(0.3, 0.5), interval(0.9, 1.0)


@pytest.mark.parametrize(
    ("a", "b", "expected"),
    [
        ([IN], [B_IN, B_IN], "agrees"),
        ([OUT], [B_IN], "disagrees"),
        ([IN], [B_IN, B_OUT], "disagrees"),
        ([OPEN], [B_OUT], "disagrees"),
        ([OPEN], [B_IN], "inconclusive"),
        ([NULL], [B_IN], "inconclusive"),
        ([NULL], [B_OUT], "inconclusive"),  # the ledger: any component that is null and may not be
        ([IN], [], "inconclusive"),
    ],
)
def test_outcome_table(a, b, expected):
    assert outcome({"a": A, "b": B}, {"a": a, "b": b, "not judged": [OUT]}) == expected


@pytest.mark.parametrize(
    ("norm", "variance", "expected"),
    [
        (IN, OUT, "agrees"),
        (OUT, IN, "agrees"),
        (OUT, OUT, "disagrees"),
        (OUT, OPEN, "inconclusive"),
        (OPEN, OPEN, "inconclusive"),
        (IN, NULL, "agrees"),
        (OUT, NULL, "inconclusive"),
    ],
)
def test_one_reading_is_enough(norm, variance, expected):
    read = {name: A.model_copy(update={"reading": name}) for name in ("norm", "variance")}
    result = {"norm": [norm], "variance": [variance]}
    assert outcome(read, result) == expected
    twice = read | {"norm_too": read["norm"]}
    assert outcome(twice, result | {"norm_too": [IN]}) == expected  # the other component of one reading is inside
    assert outcome(twice, result | {"norm_too": [OUT]}) == outcome(read, result | {"norm": [OUT]})
    shared = {**read, "b": B}  # belongs to every reading
    assert outcome(shared, result | {"b": [B_OUT]}) == ("inconclusive" if NULL in (norm, variance) else "disagrees")


def test_null_that_may_be_is_left_out():
    regions = {"a": A, "l0": Region(low=0, may_be_null=True)}
    assert outcome(regions, {"a": [IN], "l0": [NULL]}) == "agrees"
    assert outcome(regions, {"a": [IN]}) == "agrees"
    assert outcome(regions, {"a": [IN], "l0": [OUT]}) == "disagrees"
    assert outcome({"l0": regions["l0"]}, {"l0": [NULL]}) == "inconclusive"


def test_a_component_alone_has_its_own_outcome():
    regions = {"a": A, "b": B, "l0": Region(low=0, may_be_null=True)}
    result = {"a": [IN], "b": [B_IN, B_OUT], "l0": [NULL]}
    assert component_outcomes(regions, result) == {"a": "agrees", "b": "disagrees", "l0": None}
    assert outcome(regions, result) == "disagrees"
    assert component_outcomes({"a": A, "b": B}, {"a": [NULL]}) == {"a": "inconclusive", "b": "inconclusive"}
    assert said("not-testable-in-this-profile", "agrees") == "agrees" and said("differs", "none") == "differs"


numbers = st.floats(-2, 2, allow_nan=False).map(lambda value: round(value, 3))
intervals = st.tuples(numbers, numbers).map(sorted).map(lambda ends: interval(*ends, value=ends[0]))
bounds = st.tuples(numbers, numbers).map(sorted).map(lambda ends: Region(low=ends[0], high=ends[1]))


@given(st.lists(intervals, min_size=1, max_size=4), bounds)
def test_inside_means_agrees_and_one_outside_disagrees(results, region):
    result = outcome({"a": region}, {"a": results})
    inside = all(region.low <= one["low"] and one["high"] <= region.high for one in results)
    outside = any(one["high"] < region.low or one["low"] > region.high for one in results)
    assert (result == "agrees") == inside and (result == "disagrees") == outside


@given(st.lists(intervals, min_size=1, max_size=4), bounds, st.floats(0, 2), st.floats(0, 2))
def test_monotone_in_the_region(result, region, down, up):
    """A wider region never turns agreement into anything else, nor anything else into disagreement."""
    wider = Region(low=region.low - down, high=region.high + up)
    narrow, wide = (outcome({"a": one}, {"a": result}) for one in (region, wider))
    order = {"disagrees": 0, "inconclusive": 1, "agrees": 2}
    assert order[wide] >= order[narrow]


@given(intervals, bounds, st.floats(0, 2), st.floats(0, 2))
def test_wider_intervals_decide_less(result, region, down, up):
    wider = interval(result["low"] - down, result["high"] + up)
    before, after = (outcome({"a": region}, {"a": [one]}) for one in (result, wider))
    assert after in (before, "inconclusive")


@pytest.mark.parametrize("result", [*OUTCOMES, None])
@pytest.mark.parametrize("claim", CLAIMS.values(), ids=CLAIMS)
def test_scope_guard(claim: Claim, result):
    """Another model, or SAEs that were trained here, never reproduce or contradict a claim about the paper's."""
    own_saes = dataclasses.replace(PAPERS, published_saes=False, random_features=False)
    for subject in (HERE, own_saes):
        verdict, analogue = conclude(claim, subject, result)
        if claim.kind in EXACT_KINDS:
            assert analogue == "none"
            expected = {"agrees": "reproduced", "disagrees": "paper-inconsistent", "inconclusive": "inconclusive"}
            assert verdict == expected.get(result, "not-testable-in-this-profile")
        else:
            assert verdict == "not-testable-in-this-profile"
            assert analogue == (result or "none")
            assert regions_of(claim, subject) == claim.rule.analogue


@given(
    st.sampled_from([claim for claim in CLAIMS.values() if claim.scope.models]),
    st.sampled_from(OUTCOMES),
    st.one_of(st.none(), st.text(), st.sampled_from(["gemma-2-2b", "gemma-2-9b", "llama-3.1-8b", "smollm2"])),
    st.sets(st.sampled_from([f"resid_post.{layer}" for layer in range(32)])),
    st.booleans(),
    st.booleans(),
)
def test_only_the_papers_model_is_judged(claim, result, model, hookpoints, published, judge):
    subject = Subject(str(model), model, frozenset(hookpoints), published, judge, False)
    verdict, _ = conclude(claim, subject, result)
    if verdict in ("reproduced", "differs"):
        assert model in claim.scope.models and published
        assert {*claim.scope.models[model]} - {"all"} <= hookpoints
        assert claim.experiment != "interpretability" or judge


def test_the_papers_own_subject_gets_the_verdict():
    claim = CLAIMS["asymptote-gap"]
    assert [conclude(claim, PAPERS, one) for one in (*OUTCOMES, None)] == [
        ("reproduced", "none"),
        ("differs", "none"),
        ("inconclusive", "none"),
        ("not-testable-in-this-profile", "none"),
    ]
    assert regions_of(claim, PAPERS) == claim.rule.real
    elsewhere = dataclasses.replace(PAPERS, hookpoints=frozenset({"resid_post.9"}))
    assert "resid_post.20, which this profile does not extract" in out_of_scope(claim, elsewhere)


def test_a_surrogate_is_no_judge():
    subject = dataclasses.replace(PAPERS, language_model=False)
    assert "offline surrogate" in out_of_scope(CLAIMS["error-sae-interp"], subject)
    assert out_of_scope(CLAIMS["error-sae-interp"], PAPERS) is None


def test_random_features_count_at_the_papers_size():
    claim = CLAIMS["random-parabola"]
    assert "other sizes" in out_of_scope(claim, HERE) and out_of_scope(claim, PAPERS) is None
    params = profile_params("smollm2")
    assert not subject_of(params).random_features
    params.random_features.__dict__.update(APPENDIX_D)
    assert subject_of(params).random_features


@pytest.mark.parametrize("profile", ["smollm2", "smoke"])
@pytest.mark.parametrize("label", ["gemma-2-9b", None])
def test_no_profile_of_this_repository_passes_for_the_papers(profile, label):
    params = profile_params(profile)
    if label:
        params.model.__dict__["label"] = label  # a name alone makes no Gemma
    subject = subject_of(params)
    assert subject.model is None and not subject.published_saes
    assert all(out_of_scope(claim, subject) for claim in CLAIMS.values() if claim.kind not in EXACT_KINDS)


def judged(params) -> list[str]:
    """Claims about a model that the parameters' results decide."""
    subject = subject_of(params)
    return [name for name, claim in CLAIMS.items() if claim.scope.models and out_of_scope(claim, subject) is None]


@pytest.mark.parametrize("profile", PAPER_MODELS)
def test_a_profile_of_the_papers_is_its_subject_until_its_model_or_one_sae_is_another(profile):
    content = yaml.safe_load(composed(profile))
    assert "norm-r2-range" in judged(parse_params(content))
    other_source = copy.deepcopy(content)
    other_source["model"]["repo"] = "someone/else"
    assert not judged(parse_params(other_source))
    own = {"sae": "mine", "hookpoint": content["figures"]["main_hookpoint"], "d_sae": 512}
    content["saes"]["published"]["groups"]["mine"] = {"saes": [own]}
    assert not judged(parse_params(content))
