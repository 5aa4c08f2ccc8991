import pytest
from fake_results import fake_receipt

from darkmatter.report.summary import duration, five_lines, strongest_disagreement, wanted


def row(identity: str, low: float, high: float, region: dict, **more: object) -> dict:
    estimate = {"value": (low + high) / 2, "low": low, "high": high, "place": "outside"}
    return {
        "id": identity,
        "verdict": "not-testable-in-this-profile",
        "analogue": "disagrees",
        "judged_by": "analogue",
        "rule": {"test": "inside", "analogue": {"r2": region}},
        "components": {"r2": [estimate], "beside": [estimate]},
    } | more


def ledger(*rows: dict) -> dict:
    return {
        "profile": "smollm2",
        "model": "a model",
        "tested": len(rows),
        "verdicts": {"reproduced": 0, "differs": 1, "not-testable-in-this-profile": 2},
        "analogues": {"agrees": 0, "disagrees": 2, "none": 1},
        "claims": list(rows),
    }


NEAR = row("near", 0.30, 0.40, {"low": 0.5})  # one width below
FAR = row("far", 0.50, 0.52, {"low": 0.1, "high": 0.4})  # five widths above
EXACT = row("exact", 0.9, 0.9, {"high": 0.7})
AGREES = row("agrees", 0.1, 0.2, {"low": 5.0}, analogue="agrees")
OPEN = row("open", 0.0, 0.1, {"low": 5.0})
OPEN["components"]["r2"][0] = OPEN["components"]["r2"][0] | {"place": "across"}


def test_strongest_is_farthest_in_widths_of_its_interval() -> None:
    result = strongest_disagreement(ledger(NEAR, FAR, EXACT, AGREES, OPEN))
    assert (result.claim, result.component, result.wanted) == ("far", "r2", "0.1 to 0.4")
    assert result.widths == pytest.approx(5.0)
    assert strongest_disagreement(ledger(NEAR, EXACT)).claim == "near"


def test_a_verdict_disagrees_by_its_own_region() -> None:
    differs = NEAR | {"verdict": "differs", "analogue": "none", "judged_by": "real"}
    assert strongest_disagreement(ledger(differs)) is None
    differs["rule"] = {"test": "inside", "real": {"r2": {"high": 0.1}}}
    assert strongest_disagreement(ledger(differs)).widths == pytest.approx(2.0)


def test_none_without_a_sampled_disagreement() -> None:
    assert strongest_disagreement(ledger(EXACT, AGREES, OPEN)) is None
    texts = NEAR | {"verdict": "paper-inconsistent", "rule": {"test": "same"}, "components": {}}
    assert strongest_disagreement(ledger(texts)) is None


def test_five_lines() -> None:
    receipts = {"saes": fake_receipt("saes"), "other": fake_receipt("other") | {"profile": "smoke", "seconds": 9e9}}
    lines = five_lines(ledger(NEAR, FAR, AGREES), receipts)
    assert len(lines) == 5
    assert "1 differs, 2 not testable here" in lines[1] and "reproduced" not in lines[1]
    assert "2 disagree" in lines[2] and "far, whose rule wants r2 0.1 to 0.4 and finds 0.51 [0.5, 0.52]" in lines[3]
    assert lines[4] == "time: 12.3 s in the last runs of 1 stages (2 units computed, 1 found stored)"
    assert five_lines(ledger(EXACT), {})[3] == "strongest disagreement: none"


@pytest.mark.parametrize(("seconds", "text"), [(8.24, "8.2 s"), (125.4, "2 min 05 s"), (10925, "3 h 02 min")])
def test_durations(seconds: float, text: str) -> None:
    assert duration(seconds) == text


def test_regions_in_words() -> None:
    assert (wanted({"low": 0.0}), wanted({"high": 0.0})) == ("above 0", "below 0")
    assert (wanted({"low": 0.8}), wanted({"high": -0.5})) == ("at least 0.8", "at most −0.5")
