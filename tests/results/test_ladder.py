"""The ladder of a profile from its results: which SAEs are in it, what its interval holds, when it is withheld."""

import dataclasses
from pathlib import Path

import pytest
from fake_ladder import CONTEXTS, MAIN, laddered, params
from fake_results import fake_results
from profiles import profile_params

from darkmatter.figures import FIGURES, figure_data, figure_svg
from darkmatter.figures.style import Style
from darkmatter.results.breakdown import breakdown
from darkmatter.results.headline import headline_metrics
from darkmatter.statistics import token_ladder

FIG_1 = next(entry for entry in FIGURES if entry.id == "fig01_breakdown")


@pytest.fixture(autouse=True)
def few_draws(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(token_ladder, "DRAWS", 300)


def test_a_profile_of_one_budget_has_no_ladder() -> None:
    for profile in ("smollm2", "smoke"):
        own = profile_params(profile)
        results = fake_results(own)
        assert breakdown(results, own).ladder is None
        assert "ladder" not in figure_data(FIG_1, results, own)


def test_the_ladder_is_the_series_on_every_budget(tmp_path: Path) -> None:
    ladder = breakdown(laddered(tmp_path), params()).ladder
    assert {sae["group"] for sae in ladder.saes} == {"widths", "ladder-3200k", "ladder-800k", "seeds"}  # not `layers`
    assert {(sae["k"], sae["architecture"]) for sae in ladder.saes} == {(32, "topk")}
    assert len(ladder.saes) == 4 + 5 + 5 + 6  # 8,192 latents on two budgets only


def test_the_interval_holds_contexts_and_seeds(tmp_path: Path) -> None:
    results = laddered(tmp_path)
    estimates = breakdown(results, params()).ladder.estimates
    bare = breakdown(dataclasses.replace(results, sums=None), params()).ladder.estimates
    truth = {"asymptote": 0.1, "line": 0.09, "gap": 0.01}
    for name, value in truth.items():
        number = estimates[name]
        assert number["low"] <= value <= number["high"] and number["low"] < number["value"] < number["high"]
        assert number["resampled"] == "context, seed" and "absent" not in number
        assert bare[name]["resampled"] == "seed" and "context" in bare[name]["absent"]
        assert bare[name]["value"] == pytest.approx(number["value"], rel=1e-9)
        assert number["high"] - number["low"] > bare[name]["high"] - bare[name]["low"]
        assert number["settled"] == (number["low"] <= number["value"] + number["doubling"] <= number["high"])
    assert estimates["asymptote"]["doubling"] < 0
    ends = estimates["line"]["intervals"]["context"]  # one factor moves every SAE: 0.05 / √40 of the value
    assert (ends["high"] - ends["low"]) / 2 == pytest.approx(1.96 * 0.05 / CONTEXTS**0.5 * 0.09, rel=0.35)


def test_metrics_are_those_of_endless_training(tmp_path: Path) -> None:
    results = laddered(tmp_path)
    estimates = breakdown(results, params()).ladder.estimates
    metrics = headline_metrics(results, params())
    assert (
        metrics["asymptote"] == estimates["asymptote"]["value"]
        and metrics["asymptote_gap"] == estimates["gap"]["value"]
    )


@pytest.mark.parametrize("broken", ["seeds", "law"])
def test_what_cannot_be_extrapolated_is_withheld_with_the_reason(tmp_path: Path, broken: str) -> None:
    results = laddered(tmp_path)
    run = results.decomposition[MAIN]
    if broken == "seeds":
        run["saes"] = [sae for sae in run["saes"] if sae["group"] != "seeds"]
    for sae in run["saes"]:
        if broken == "law" and sae["group"] == "widths":  # FVU of held-out text rises again
            sae["estimates"]["token"]["paper"]["fvu"]["value"] *= 1.12
    estimates = breakdown(results, params()).ladder.estimates
    expected = {"seeds": "differ in their seed alone", "law": "power law in tokens"}[broken]
    assert all(number["value"] is None and expected in number["reason"] for number in estimates.values())
    assert headline_metrics(results, params())["asymptote"] is None
    data = figure_data(FIG_1, results, params())
    assert "withheld" in data["note"] and expected in data["note"]
    assert figure_svg(FIG_1, data, Style(9)).startswith("<?xml")


def test_figure_1_shows_the_ladder(tmp_path: Path) -> None:
    data = figure_data(FIG_1, laddered(tmp_path), params())
    shown = data["ladder"]
    assert [limit["d_sae"] for limit in shown["limits"]] == [512, 1024, 2048, 4096, 8192]
    for limit in shown["limits"]:
        assert limit["fvu"]["limit"] == pytest.approx(0.1 + 2.7 * limit["d_sae"] ** -0.5, abs=0.02)
        assert limit["fvu"]["gain"] > 0 > limit["fvu"]["doubling"]
    assert "contexts, seeds and the extrapolation" in data["note"] and "0.8M, 3.2M, 12.8M" in data["note"]
    plain = {key: value for key, value in data.items() if key != "ladder"}
    assert len(figure_svg(FIG_1, data, Style(9))) > len(figure_svg(FIG_1, plain, Style(9)))
