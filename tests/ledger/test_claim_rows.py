"""The whole ledger on small results: every claim gets its row, whatever is missing."""

import dataclasses
import json
from pathlib import Path

import pytest
from fake_results import fake_estimate, fake_results, write_results
from fake_sums import FakeRows
from profiles import composed, profile_params
from schema_errors import errors

import stages.claims
from darkmatter.ledger.claims import EXACT_KINDS, load_claims, rule_sha256
from darkmatter.ledger.estimands.evidence import EVERY_ROW, Evidence
from darkmatter.ledger.estimands.quantities import Fixed, Keyed, Null
from darkmatter.ledger.judge import claim_row, claims_content, counted, elements
from darkmatter.ledger.rules import Earlier, Region
from darkmatter.ledger.verdicts import VERDICTS, Subject, subject_of
from darkmatter.params.schema import load_params
from darkmatter.results.load import Results
from darkmatter.runner.stage import Stage
from darkmatter.storage.artifacts import ArtifactError, to_json, write_json
from darkmatter.storage.paths import reports_of

ROOT = Path(__file__).resolve().parents[2]
PARAMS = profile_params("smoke")
LEDGER = load_claims(ROOT / "claims.yaml")
CLAIMS = {claim.id: claim for claim in LEDGER.claims}
SUBJECT = subject_of(PARAMS)
GEMMA = Subject("gemma-2-9b", "gemma-2-9b", frozenset(f"resid_post.{n}" for n in range(42)), True, True, True)


@pytest.fixture(scope="module")
def evidence(tmp_path_factory) -> Evidence:
    decomposition = Results(fake_results(PARAMS).decomposition, {})
    return FakeRows(decomposition).evidence(PARAMS, decomposition, tmp_path_factory.mktemp("sums"))


def having(evidence: Evidence, **experiments) -> Evidence:
    return dataclasses.replace(evidence, results=Results(evidence.results.decomposition, experiments))


def test_every_claim_has_a_row(evidence):
    content = claims_content(LEDGER, evidence, SUBJECT)
    assert [row["id"] for row in content["claims"]] == list(CLAIMS) and content["tested"] == len(CLAIMS)
    assert sum(content["verdicts"].values()) == sum(content["analogues"].values()) == len(CLAIMS)
    for row in content["claims"]:
        claim = CLAIMS[row["id"]]
        assert row["verdict"] in VERDICTS and row["rule_sha256"] == rule_sha256(claim)
        assert row["components"] or row["reason"]
        if claim.id == "norm-r2-layers":
            assert row["analogue"] == "none" and "middle third of depth has 1" in row["reason"]
            assert row["earlier"][0]["components"].keys() == {"rise", "fall", "middle"}  # of the rule before
        elif claim.experiment == "decomposition":
            assert set(claim.rule.analogue) <= row["components"].keys()
            expected = {"token/authors", "context/paper", "context/authors"}
            averaged = {"token/paper/per-dimension"} if "fvu" in claim.conventions else set()
            assert row["variants"].keys() == expected | averaged
        if claim.kind not in EXACT_KINDS:
            assert row["verdict"] == "not-testable-in-this-profile" and row["out_of_scope"]
        if claim.experiment not in ("decomposition", "claims"):
            assert f"no results of {claim.experiment}" in row["reason"] and row["analogue"] == "none"
    assert json.loads(to_json(content)) == content
    assert errors(content, "claims") == []


@pytest.mark.parametrize(("count", "verdict"), [(329, "reproduced"), (328, "paper-inconsistent")])
def test_counts_are_judged_everywhere(evidence, count, verdict):
    assert claim_row(CLAIMS["row-count"], evidence, SUBJECT)["verdict"] == "reproduced"
    lists = {"gemma-2-2b": {"saes": []}, "gemma-2-9b": {"saes": []}}
    lists["llama-3.1-8b"] = {"saes": [{"roles": ["llama"]}] * count + [{"roles": ["figA"]}]}
    row = claim_row(CLAIMS["sae-count"], dataclasses.replace(evidence, manifests=lists), SUBJECT)
    assert row["verdict"] == verdict and row["components"]["with_appendix_layers"][0]["value"] == count + 1
    assert row["outcomes"].keys() == {"saes"}  # the other readings are next to it
    absent = claim_row(CLAIMS["sae-count"], evidence, SUBJECT)
    assert absent["verdict"] == "not-testable-in-this-profile" and "conf/manifests" in absent["reason"]


def test_joint_level_counts_what_is_judged(evidence):
    """Agreement is judged at the rule's own level, disagreement at that of all judged components together."""

    def levels(name, subject):
        rows = claim_row(CLAIMS[name], evidence, subject)["components"].items()
        assert {one["level"] for _, result in rows for one in result} == {0.95}
        return {key: result[0].get("joint", result[0])["level"] for key, result in rows}

    assert levels("absent-only-shrinks", SUBJECT) == pytest.approx({"linear": 0.975, "nonlinear": 0.975})
    other = levels("fvu-nl-other-layers", GEMMA)
    assert other == pytest.approx({"slope": 0.95, "layer": 0.95})  # the second is not judged
    saes = claim_row(CLAIMS["norm-r2-range"], evidence, SUBJECT)["components"]["r2"]
    assert {round(one["joint"]["level"], 9) for one in saes} == {round(1 - 0.05 / len(saes), 9)}


def test_elements_of_lists_are_counted_and_allowed_nulls_are_not():
    number, nothing = Fixed({"value": 1}), Null("L0 is constant")
    many = [Keyed({"sae": name}, number) for name in "abc"]
    assert counted(many, Region(low=0, every="sae")) == 3 and counted(number, Region(low=0)) == 1
    assert counted(nothing, Region(low=0, may_be_null=True)) == 0 and counted(nothing, Region(low=0)) == 1
    assert counted(None, Region(low=0)) == 0 and elements(None) == []


def pursuit(low: float, high: float, **more) -> dict:
    middle = {"value": (low + high) / 2, "low": low, "high": high, "rows": 10, "contexts": 5, "level": 0.999, **more}
    return {"pursuit_fvu_decrease": {"decrease": [middle | {"sae": "a"}, middle | {"sae": "b"}]}}


@pytest.mark.parametrize(
    ("low", "high", "real", "analogue"),
    [
        (0.03, 0.05, "reproduced", "agrees"),
        (0.2, 0.3, "differs", "agrees"),
        (-0.2, -0.1, "differs", "disagrees"),
        (-0.1, 0.1, "inconclusive", "inconclusive"),
    ],
)
def test_real_verdict_and_analogue(evidence, low, high, real, analogue):
    result = having(evidence, pursuit={"estimands": pursuit(low, high)})
    claim = CLAIMS["pursuit-fvu"]
    ours, papers = (claim_row(claim.as_of(claim.earlier[0]), result, subject) for subject in (SUBJECT, GEMMA))
    assert (ours["verdict"], ours["analogue"]) == ("not-testable-in-this-profile", analogue)
    assert (papers["verdict"], papers["analogue"]) == (real, "none")
    assert papers["judged_by"] == "real" and ours["judged_by"] == "analogue"
    assert (ours["reason"] is None) == (analogue != "inconclusive")


def test_components_carry_their_own_outcome(evidence):
    """A claim that disagrees by one number of each of its readings still says that another agrees."""
    ratios = {"linear_by_norm": 1.0, "linear_by_variance": 2.0, "nonlinear_by_norm": 3.0, "nonlinear_by_variance": 1.2}
    halves = {"nonlinear_by_variance": 0.2}
    estimands = {key: fake_estimate(value, halves.get(key, 0.01)) | {"level": 0.999} for key, value in ratios.items()}
    content = {"estimands": {"cross_entropy_ratio": estimands}}
    content["estimands_by_variant"] = {"context": {"paper": content["estimands"], "authors": content["estimands"]}}
    result = having(evidence, downstream=content)
    ours, papers = (claim_row(CLAIMS["ce-proportional"], result, subject) for subject in (SUBJECT, GEMMA))
    expected = dict(zip(ratios, ("agrees", "disagrees", "disagrees", "inconclusive"), strict=True))
    assert ours["analogue"] == "disagrees"
    assert {name: one["analogue"] for name, one in ours["outcomes"].items()} == expected
    assert {one["verdict"] for one in ours["outcomes"].values()} == {"not-testable-in-this-profile"}
    assert ours["variants"]["context/paper"]["outcomes"] == expected
    real = {"agrees": "reproduced", "disagrees": "differs", "inconclusive": "inconclusive"}
    assert {name: one["verdict"] for name, one in papers["outcomes"].items()} == {
        name: real[one] for name, one in expected.items()
    }


def test_an_earlier_rule_is_judged_beside_the_present_one(evidence):
    claim = CLAIMS["pursuit-fvu"].model_copy(update={"earlier": []})
    loose = claim.rule.model_copy(update={"analogue": {"decrease": Region(low=-1, every="sae")}})
    gone = claim.estimand.model_copy(update={"name": "pursuit_nonlinear_change"})
    earlier = [
        Earlier(edition=1, rule=loose, why="nothing could fail it"),
        Earlier(edition=2, rule=loose, estimand=gone, why="it judged another number"),
    ]
    result = having(evidence, pursuit={"estimands": pursuit(-0.2, -0.1)})
    row = claim_row(claim.model_copy(update={"earlier": earlier, "edition": 3}), result, SUBJECT)
    assert (row["edition"], row["analogue"]) == (3, "disagrees")
    first, second = row["earlier"]
    assert (first["edition"], first["analogue"], first["why"]) == (1, "agrees", "nothing could fail it")
    assert first["outcomes"]["decrease"]["analogue"] == "agrees" and first["rule_sha256"] != row["rule_sha256"]
    assert first["components"]["decrease"][0]["place"] == "inside"
    assert second["analogue"] == "none" and "no estimand pursuit_nonlinear_change" in second["reason"]
    assert row["rule_sha256"] == claim_row(claim, result, SUBJECT)["rule_sha256"]
    assert claim_row(claim, result, SUBJECT)["earlier"] == []


def test_variants_flip_but_never_decide(evidence):
    content = {
        "estimands": pursuit(0.03, 0.05),
        "estimands_by_variant": {"context": {"paper": pursuit(-1, 1)}, "token": {"authors": pursuit(0.04, 0.05)}},
    }
    row = claim_row(CLAIMS["pursuit-fvu"], having(evidence, pursuit=content), SUBJECT)
    assert row["analogue"] == "agrees" and row["flips"] == ["context/paper"]
    assert row["variants"].keys() == {"token/authors", "context/paper"}
    assert row["variants"]["context/paper"]["components"]["decrease"][0]["sae"] == "a"


ENDS = {"low": 0.4, "high": 0.6}


def test_mean_over_dimensions_is_read_and_flips(evidence):
    """Section 5.2: pooled, the nonlinear part is lower; averaged over dimensions, the linear one."""
    one = {"rows": 9, "contexts": 5, "seeds": 3}
    each = {"linear": one | {"value": 0.55} | ENDS, "nonlinear": one | {"value": 0.5} | ENDS}
    pooled = each | {"difference": one | {"value": -0.04, "low": -0.05, "high": -0.03, "level": 0.999}}
    averaged = each | {"difference": one | {"value": 0.08, "low": 0.07, "high": 0.09}}
    content = {"estimands": {"error_sae_fvu": pooled}, "over_seeds": {"fvu_per_dim": averaged}}
    row = claim_row(CLAIMS["error-sae-fvu"], having(evidence, error_saes=content), SUBJECT)
    assert (row["analogue"], row["flips"]) == ("disagrees", ["token/paper/per-dimension"])
    assert row["variants"]["token/paper/per-dimension"]["outcomes"] == {"difference": "agrees"}


def test_rows_of_tokens_that_no_fit_has_met_are_a_variant_that_flips(evidence):
    """Only of a claim that lists the convention, and only where the results have it."""
    one = {"value": 0.1, "low": 0.05, "high": 0.15, "level": 0.999, "rows": 9, "contexts": 5}
    order = dict.fromkeys(CLAIMS["norm-r2-baselines"].rule.analogue, one)
    worse = {"value": -0.1, "low": -0.15, "high": -0.05}
    flat = {str(EVERY_ROW): {"norm_baseline_order": order | {"first_layer": one | worse}}}
    content = {"estimands": {"norm_baseline_order": order}, "estimands_by_variant": flat}
    row = claim_row(CLAIMS["norm-r2-baselines"], having(evidence, norm_baselines=content), SUBJECT)
    assert (row["analogue"], row["flips"]) == ("agrees", ["token/paper/all-rows"])
    assert row["variants"]["token/paper/all-rows"]["outcomes"]["first_layer"] == "disagrees"
    content = {"estimands": {"norm_baseline_order": order}, "estimands_by_variant": {"token": {"paper": {}}}}
    row = claim_row(CLAIMS["norm-r2-baselines"], having(evidence, norm_baselines=content), SUBJECT)
    assert (row["flips"], row["variants"]) == ([], {})


@pytest.mark.parametrize(
    ("low", "level", "verdict", "reason"),
    [
        (0.03, 0.95, "reproduced", None),
        (0.03, 0.9, "inconclusive", "the rule needs 0.95"),
        (0.2, 0.95, "inconclusive", "not at the level at which all hold together"),
        (0.2, 0.975, "differs", None),
    ],
)
def test_agreement_needs_the_level_and_disagreement_the_joint_one(evidence, low, level, verdict, reason):
    content = {"estimands": pursuit(low, low + 0.02, level=level)}
    row = claim_row(CLAIMS["pursuit-fvu"], having(evidence, pursuit=content), GEMMA)
    assert row["verdict"] == verdict and (reason or "") in (row["reason"] or "")
    assert (row["reason"] is None) == (reason is None)


def test_null_that_may_not_be_leaves_a_claim_open(evidence):
    estimands = pursuit(0.03, 0.05)
    estimands["pursuit_fvu_decrease"]["decrease"][1] |= {"value": None, "low": None, "high": None, "reason": "died"}
    row = claim_row(CLAIMS["pursuit-fvu"], having(evidence, pursuit={"estimands": estimands}), SUBJECT)
    assert row["analogue"] == "inconclusive" and row["reason"] == "decrease (1 of 2): died"


def test_one_reason_stands_once(evidence):
    null = {"value": None, "low": None, "high": None, "reason": "nothing to recover"}
    names = [f"{part}_by_{way}" for part in ("linear", "nonlinear") for way in ("norm", "variance")]
    estimands = {"cross_entropy_ratio": dict.fromkeys(names[1:], null)}
    ways = {"paper": estimands, "authors": estimands}
    result = having(evidence, downstream={"estimands": estimands, "estimands_by_variant": {"context": ways}})
    row = claim_row(CLAIMS["ce-proportional"], result, SUBJECT)
    assert row["reason"].count("nothing to recover") == 1
    assert f"{names[0]}: nothing to judge" in row["reason"]


def test_surrogate_is_named(evidence):
    one = fake_estimate(0.05, 0.01) | {"level": 0.999}
    estimands = {"error_sae_interpretability": {"mean": one, "decile": [one | {"decile": 1}]}}
    result = having(evidence, interpretability=judged_by("surrogate", 0.7, 0.6, estimands))
    row = claim_row(CLAIMS["error-sae-interp"], result, dataclasses.replace(GEMMA, language_model=False))
    assert (row["verdict"], row["analogue"], row["judge"]) == ("not-testable-in-this-profile", "agrees", "surrogate")
    assert "surrogate" in row["out_of_scope"]


def judged_by(judge: str, linear: float | None, nonlinear: float | None, estimands: dict) -> dict:
    """Results of the stage interpretability, by the judge's balanced accuracy on both parts."""
    parts = {"linear": linear, "nonlinear": nonlinear}
    balanced = {part: {"accuracy": {"balanced": {"value": value}}} for part, value in parts.items()}
    return {"judge": judge, "estimands": estimands, "parts": balanced}


@pytest.mark.parametrize(
    ("linear", "nonlinear", "analogue"),
    [(0.51, 0.508, "none"), (None, 0.5, "none"), (0.46, 0.54, "none"), (0.56, 0.51, "agrees"), (0.4, 0.5, "agrees")],
)
@pytest.mark.parametrize("judge", ["surrogate", "a language model"])
def test_a_judge_that_guesses_is_not_believed(evidence, judge, linear, nonlinear, analogue):
    one = fake_estimate(0.05, 0.01) | {"level": 0.999}
    estimands = {"error_sae_interpretability": {"mean": one, "decile": [one | {"decile": 1}]}}
    result = having(evidence, interpretability=judged_by(judge, linear, nonlinear, estimands))
    row = claim_row(CLAIMS["error-sae-interp"], result, SUBJECT)
    assert (row["verdict"], row["analogue"]) == ("not-testable-in-this-profile", analogue)
    assert row["earlier"][0]["analogue"] == "agrees"  # edition 1 did not ask
    if analogue == "none":
        assert f"the judge ({judge})" in row["reason"] and "by chance" in row["reason"]


def test_unknown_estimand_is_an_error(evidence):
    claim = CLAIMS["pursuit-fvu"]
    wrong = claim.model_copy(update={"estimand": claim.estimand.model_copy(update={"name": "pursuit_fvu_decreased"})})
    with pytest.raises(ArtifactError, match="'pursuit_fvu_decreased', which nothing computes"):
        claim_row(wrong, evidence, SUBJECT)


def test_stage_from_files_to_file(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("params.yaml").write_text(composed("smoke"), encoding="utf-8")
    Path("claims.yaml").write_bytes((ROOT / "claims.yaml").read_bytes())
    params = load_params()
    results = fake_results(params)
    reports = reports_of("smoke")
    write_results(Results(results.decomposition, {}), reports.results)
    write_json(reports.results / "data.json", {"model": {"layers": 3}})
    FakeRows(results).write(tmp_path / "made").rename(reports.sums)
    stage = Stage("claims", params, Path(stages.claims.__file__))
    stages.claims.main(stage)
    assert len(json.loads(reports.claims.read_text())["claims"]) == len(CLAIMS)
    assert stage.outputs == [reports.claims] and Path("claims.yaml") in stage.inputs
    (reports.sums / "resid_post.1.npz").unlink()
    with pytest.raises(ArtifactError, match=r"resid_post\.1\.npz does not exist"):
        stages.claims.main(stage)
