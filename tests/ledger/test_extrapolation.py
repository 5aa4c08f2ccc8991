"""The gap of Fig. 1 is judged as it is drawn: extrapolated in tokens where a profile has several budgets of them."""

import dataclasses
from pathlib import Path

import pytest
from fake_ladder import MAIN, laddered, params
from fake_results import fake_results
from profiles import profile_params

from darkmatter.ledger import judge
from darkmatter.ledger.claims import load_claims
from darkmatter.ledger.estimands import extrapolation
from darkmatter.ledger.estimands.breakdown_trends import asymptote_minus_nonlinear
from darkmatter.ledger.estimands.evidence import ON_TOP_RUNG, PRIMARY, VARIANTS, Evidence, Missing
from darkmatter.ledger.estimands.quantities import Formula
from darkmatter.ledger.judge import claim_row
from darkmatter.ledger.verdicts import subject_of
from darkmatter.results.breakdown import breakdown
from darkmatter.results.ladder import LEFT
from darkmatter.results.load import Results
from darkmatter.statistics import token_ladder
from darkmatter.statistics.sae_estimates import pooled_fvu

CLAIM = next(claim for claim in load_claims().claims if claim.id == "asymptote-gap")


@pytest.fixture(autouse=True)
def few_draws(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(token_ladder, "DRAWS", 300)

    def number(self: Evidence, point, variant, *path: str) -> Formula:
        """From the sums of `laddered`, which has those of FVU and FVU_nonlinear alone."""
        hookpoint, arrays = self.hookpoint_sums(point.hookpoint)
        left = arrays[f"{point.sae['name']}/{LEFT[('fvu', 'fvu_nonlinear').index(path[0])]}"]
        return pooled_fvu(hookpoint.views[variant.split], hookpoint, left, 0)

    monkeypatch.setattr(Evidence, "number", number)
    monkeypatch.setattr(judge, "VARIANTS", VARIANTS[:1])  # the others cost time


def evidence_of(results: Results) -> Evidence:
    return Evidence(params(), results, results.sums, layers=30)


def test_the_extrapolated_gap_is_judged_and_the_top_rung_is_a_variant(tmp_path: Path) -> None:
    results = laddered(tmp_path, noise=0.001)
    row = claim_row(CLAIM, evidence_of(results), subject_of(params()))
    (judged,) = row["components"]["gap"]
    drawn = breakdown(results, params()).ladder.estimates["gap"]
    assert [judged[end] for end in ("value", "low", "high")] == pytest.approx(
        [drawn[end] for end in ("value", "low", "high")], rel=1e-6
    )
    assert judged["resampled"] == "context, seed" and "absent" not in judged and row["analogue"] == "agrees"
    (top,) = row["variants"][str(ON_TOP_RUNG)]["components"]["gap"]
    (before,) = row["earlier"][0]["components"]["gap"]
    assert top["value"] == before["value"] != judged["value"]
    assert (top["low"], top["high"]) == (before["low"], before["high"])
    alone = extrapolation.extrapolated_asymptote_minus_nonlinear(evidence_of(results), ON_TOP_RUNG)["gap"]
    estimate = alone.at(params().decomposition.bootstrap.model_dump(), 1)
    assert estimate["absent"]["tokens"] == extrapolation.ONE_RUNG and "seed" in estimate["absent"]


def test_nothing_is_decided_where_the_extrapolation_is_withheld(tmp_path: Path) -> None:
    results = laddered(tmp_path)
    run = results.decomposition[MAIN]
    run["saes"] = [sae for sae in run["saes"] if sae["group"] != "seeds"]
    row = claim_row(CLAIM, evidence_of(results), subject_of(params()))
    assert row["components"]["gap"][0]["value"] is None and row["analogue"] == "inconclusive"
    assert "differ in their seed alone" in row["reason"] and str(ON_TOP_RUNG) in row["variants"]


def test_with_one_budget_the_gap_is_that_of_its_saes_and_says_so(tmp_path: Path) -> None:
    results = laddered(tmp_path)
    one = [sae for sae in results.decomposition[MAIN]["saes"] if sae["group"] not in ("ladder-3200k", "ladder-800k")]
    run = results.decomposition[MAIN] | {"saes": [sae for sae in one if sae["group"] != "seeds"]}
    evidence = evidence_of(dataclasses.replace(results, decomposition=results.decomposition | {MAIN: run}))
    bootstrap = params().decomposition.bootstrap.model_dump()
    ours = extrapolation.extrapolated_asymptote_minus_nonlinear(evidence, PRIMARY)["gap"].at(bootstrap, 1)
    plain = asymptote_minus_nonlinear(evidence, PRIMARY)["gap"].at(bootstrap, 1)
    assert ours == plain | {"absent": plain["absent"] | {"tokens": extrapolation.ONE_BUDGET}}
    with pytest.raises(Missing, match="no top rung"):
        extrapolation.extrapolated_asymptote_minus_nonlinear(evidence, ON_TOP_RUNG)


def test_the_default_profile_has_one_budget() -> None:
    own = profile_params("smollm2")
    evidence = Evidence(own, fake_results(own), Path(), layers=30)
    with pytest.raises(Missing, match="no top rung"):
        extrapolation.extrapolated_asymptote_minus_nonlinear(evidence, ON_TOP_RUNG)
