"""The page shows each prediction with what became of it."""

from pathlib import Path

from darkmatter.report.predictions import predictions_content
from darkmatter.storage.artifacts import read_json

CLAIMS = read_json(Path(__file__).parents[2] / "reports" / "smollm2" / "claims.json")


def test_each_prediction_has_its_outcome_and_the_numbers_that_its_rule_asks_for():
    rows = predictions_content(CLAIMS)
    assert [row["id"] for row in rows] == [row["id"] for row in CLAIMS["predictions"]]
    for row, judged in zip(rows, CLAIMS["predictions"], strict=True):
        assert row["outcome"] == (judged["outcome"] or "none")
        assert {number["label"] for number in row["numbers"]} <= judged["rule"]["real"].keys()
    assert any("in 5 SAEs" in number["text"] for row in rows for number in row["numbers"])


def test_one_that_was_not_judged_says_why():
    first = CLAIMS["predictions"][0]
    row = {**first, "outcome": None, "components": {}, "reason": "of another model"}
    (one,) = predictions_content({"predictions": [row]})
    assert (one["outcome"], one["answer"], one["numbers"], one["reason"]) == ("none", "not tested", [], row["reason"])


def test_one_that_another_run_judged_shows_that_outcome():
    first, second = ({**row, "outcome": None, "components": {}} for row in CLAIMS["predictions"][:2])
    judged = CLAIMS["predictions"][0]
    runs = [
        {"profile": "none", "predictions": []},
        {"profile": "long", "predictions": [judged, {**second, "sha256": "of another rule"}]},
    ]
    one, other = predictions_content({"predictions": [first, second]}, runs)
    assert (one["outcome"], one["profile"]) == (judged["outcome"], "long") and one["numbers"]
    assert (other["outcome"], other["profile"]) == ("none", None)
    own, _ = predictions_content({"predictions": [judged, second]}, runs)
    assert own["profile"] is None


def test_claims_of_before_there_were_predictions_have_none():
    assert predictions_content({}) == []
