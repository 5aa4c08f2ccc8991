"""Every judged interval holds the noise of the training seed, or says why not."""

from pathlib import Path

import pytest
from fake_results import fake_results
from fake_sums import FakeRows
from profiles import profile_params
from scipy.stats import t

from darkmatter.experiments.components.estimates import PARENTS_SEED
from darkmatter.ledger.claims import load_claims
from darkmatter.ledger.estimands.experiments import component
from darkmatter.ledger.estimands.quantities import Fixed, Keyed, Null
from darkmatter.ledger.estimands.stage_seeds import NOT_ASKED, NOT_RUN, with_seed
from darkmatter.ledger.judge import claims_content
from darkmatter.ledger.verdicts import subject_of
from darkmatter.statistics.variance_model import SEED_HELD, Term, combined, interval, of_interval

ROOT = Path(__file__).resolve().parents[2]
PARAMS = profile_params("smoke")
LEDGER = load_claims(ROOT / "claims.yaml")
LEVEL = 0.95
# Claims whose numbers do not depend on how an SAE was trained → why.
WITHOUT_SAES = {
    "lemma-bernoulli": "algebra",
    "lemma-poisson": "algebra",
    "lemma-poisson-variance": "algebra",
    "lemma-least-squares": "algebra",
    "norm-test-premise": "algebra",
    "random-parabola": "random vectors, with seeds of their own",
    "row-count": "arithmetic",
    "sae-count": "SAEs that are counted",
}


@pytest.fixture(scope="module")
def content(tmp_path_factory) -> dict:
    results = fake_results(PARAMS)
    evidence = FakeRows(results).evidence(PARAMS, results, tmp_path_factory.mktemp("sums"))
    return claims_content(LEDGER, evidence, subject_of(PARAMS))


def judged(row: dict, regions: dict) -> list[dict]:
    return [one for name in regions for one in row["components"].get(name, []) if one["value"] is not None]


def holds_or_says_why(estimate: dict) -> bool:
    return "seed" in str(estimate.get("resampled")).split(", ") or bool(estimate.get("absent", {}).get("seed"))


def test_every_judged_interval_holds_the_seed_or_says_why_not(content):
    walked = set()
    for row in content["claims"]:
        estimates = judged(row, row["rule"].get(row["judged_by"]) or {})
        walked |= {row["id"]} if estimates else set()
        lacking = [one for one in estimates if not holds_or_says_why(one)]
        assert bool(lacking) == bool(estimates and row["id"] in WITHOUT_SAES), (row["id"], lacking[:1])
    open_ones = {claim.id for claim in LEDGER.claims} - walked - WITHOUT_SAES.keys()
    assert open_ones == {"norm-r2-layers"}  # the smoke model has three layers
    predicted = [one for row in content["predictions"] for one in judged(row, row["rule"]["real"])]
    assert all(holds_or_says_why(one) for one in predicted)


def test_which_judged_intervals_hold_it(content):
    rows = {row["id"]: row for row in content["claims"]}

    def sources(claim: str) -> set[str]:
        row = rows[claim]
        return {one["resampled"] for one in judged(row, row["rule"]["analogue"])}

    assert sources("norm-r2-range") == sources("norm-test-order") == {"context, seed"}
    for one in judged(rows["norm-test-x"], {"x": {}}):
        assert one["resampled"] == "context" and "no SAE" in one["absent"]["seed"]
    for one in judged(rows["vector-r2-trend"], {"l0": {}, "width": {}}):
        assert one["absent"]["seed"] == SEED_HELD
    assert sources("parts-self") == {"context, seed"}
    assert sources("probe-is-latent-sum") == {"latent, context, seed"}
    for one in judged(rows["parts-nonlinear"], {"r2": {}}):
        assert one["resampled"] == "context, seed" and one["absent"] == PARENTS_SEED


def stage(**more) -> dict:
    own = {"value": 0.5, "low": 0.4, "high": 0.7, "rows": 300, "contexts": 40, "level": LEVEL}
    return own | {"joint": {"level": 0.99, "low": 0.3, "high": 0.8}} | more


KNOWN = {"of_seed": {"deviation": 0.05, "freedom": 1}}


def at(estimate: dict, asked: bool) -> dict:
    return with_seed(component(estimate, LEVEL, "here"), asked).at({"level": LEVEL, "resamples": 9, "seed": 0}, 1)


def test_the_seeds_term_is_added_at_both_levels():
    result, term = at(stage(**KNOWN), True), Term("seed", 0.05, 0.05, 1)
    own = of_interval("context", 0.5, (0.4, 0.7), 40, LEVEL)
    expected = combined(0.5, [own, term], LEVEL)
    assert {key: result[key] for key in expected} == expected and result["resampled"] == "context, seed"
    wide = of_interval("context", 0.5, (0.3, 0.8), 40, 0.99)
    assert (result["joint"]["low"], result["joint"]["high"]) == interval(0.5, [wide, term], 0.99)
    assert result["low"] < 0.4 and result["high"] > 0.7 and "absent" not in result
    assert result["of_seed"] == KNOWN["of_seed"]  # with its degrees of freedom, which `intervals` does not say
    unknown = at(stage(joint={"level": 0.99, "low": None, "high": None}, **KNOWN), True)
    assert unknown["joint"]["low"] is None and unknown["low"] == result["low"]


def test_where_it_is_not_added_the_reason_stands():
    for estimate, asked, reason in (
        (stage(), True, NOT_RUN),
        (stage(), False, NOT_RUN),
        (stage(**KNOWN), False, NOT_ASKED),
        (stage(of_seed={"reason": "none is wider"}), True, "none is wider"),
    ):
        result = at(estimate, asked)
        assert result["absent"] == {"seed": reason}
        assert (result["low"], result["high"], result["joint"]) == (0.4, 0.7, stage()["joint"])
    held = stage(resampled="context, sae", absent={"seed": SEED_HELD}, **KNOWN)
    assert at(held, True)["absent"] == {"seed": SEED_HELD} and at(held, True)["low"] == 0.4


def test_units_are_those_of_the_stages_own_interval():
    tokens = at(stage(resampled="token", contexts=1, rows=20, **KNOWN), True)
    own = of_interval("token", 0.5, (0.4, 0.7), 20, LEVEL)
    assert tokens["low"] == combined(0.5, [own, Term("seed", 0.05, 0.05, 1)], LEVEL)["low"]
    drawn = [0.3, 0.5, 0.7]
    half = t.ppf(0.975, 2) * 0.2 / 3**0.5
    plain = {
        "low": 0.5 - half,
        "high": 0.5 + half,
        "by_seed": drawn,
        "resampled": "context and noise",
        "contexts": None,
    }
    exact = at(stage(**plain, of_seed={"deviation": 0.0, "freedom": 1}), True)
    assert (exact["low"], exact["high"]) == pytest.approx((0.5 - half, 0.5 + half))
    assert exact["resampled"] == "context and noise, seed"


def test_lists_and_nulls():
    number, nothing = Fixed(stage(**KNOWN), LEVEL), Null("L0 is constant")
    first, second = with_seed([Keyed({"sae": "a"}, number), Keyed({"sae": "b"}, nothing)], True)
    assert first.key == {"sae": "a"} and first.quantity.estimate["resampled"] == "context, seed"
    assert second.quantity is nothing
