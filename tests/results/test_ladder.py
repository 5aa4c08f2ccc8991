"""The ladder of a profile from its results: which SAEs are in it, what its interval holds, when it is withheld."""

import dataclasses
from pathlib import Path

import numpy as np
import pytest
from fake_results import fake_results
from profiles import profile_params

from darkmatter.figures import FIGURES, figure_data, figure_svg
from darkmatter.figures.style import Style
from darkmatter.params.schema import Params
from darkmatter.regression.splits import ROW_SETS
from darkmatter.results.breakdown import breakdown
from darkmatter.results.headline import headline_metrics
from darkmatter.results.ladder import LEFT
from darkmatter.results.load import Results
from darkmatter.statistics import token_ladder
from darkmatter.storage.artifacts import write_arrays

MAIN = "resid_post.14"
CONTEXTS, ROWS = 40, 100
FIG_1 = next(entry for entry in FIGURES if entry.id == "fig01_breakdown")


@pytest.fixture(autouse=True)
def few_draws(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(token_ladder, "DRAWS", 300)


def params() -> Params:
    """The long profile, with few resamples of contexts."""
    whole = profile_params("smollm2-full")
    bootstrap = whole.decomposition.bootstrap.model_copy(update={"resamples": 300})
    return whole.model_copy(update={"decomposition": whole.decomposition.model_copy(update={"bootstrap": bootstrap})})


def laddered(folder: Path, noise: float = 0.003) -> Results:
    """Results whose FVU and FVU_nonlinear at the main hookpoint follow both laws, with the sums behind them."""
    results = fake_results(params())
    random = np.random.default_rng(0)
    x_square = ROWS * (1 + 0.1 * random.standard_normal(CONTEXTS))
    of_context = 1 + 0.05 * random.standard_normal(CONTEXTS)
    sums = {
        name: np.tile(value, (len(ROW_SETS), 1))
        for name, value in (("rows", np.full(CONTEXTS, float(ROWS))), ("square", x_square))
    }
    sums["cross"] = np.zeros((len(ROW_SETS), CONTEXTS, CONTEXTS))
    for sae in results.decomposition[MAIN]["saes"]:
        training = (sae["train_tokens"] / 12.8e6) ** -0.5
        seed = noise * random.standard_normal()
        values = (
            (0.1 + 2.7 * sae["d_sae"] ** -0.5 + 0.02 * training) * (1 + seed),
            (0.09 + 0.004 * training) * (1 + 0.8 * seed),
        )
        for value, key, left in zip(values, ("fvu", "fvu_nonlinear"), LEFT, strict=True):
            per_context = value * x_square * of_context
            sums[f"{sae['name']}/{left}"] = np.tile(per_context, (len(ROW_SETS), 1))
            sae["estimates"]["token"]["paper"][key]["value"] = float(per_context.sum() / x_square.sum())
    write_arrays(folder / f"{MAIN}.npz", sums)
    return dataclasses.replace(results, sums=folder)


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
    assert len(ladder.saes) == 5 + 6 + 6 + 6


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
    assert [limit["d_sae"] for limit in shown["limits"]] == [512, 1024, 2048, 4096, 8192, 16384]
    for limit in shown["limits"]:
        assert limit["fvu"]["limit"] == pytest.approx(0.1 + 2.7 * limit["d_sae"] ** -0.5, abs=0.02)
        assert limit["fvu"]["gain"] > 0 > limit["fvu"]["doubling"]
    assert "contexts, seeds and the extrapolation" in data["note"] and "0.8M, 3.2M, 12.8M" in data["note"]
    plain = {key: value for key, value in data.items() if key != "ladder"}
    assert len(figure_svg(FIG_1, data, Style(9))) > len(figure_svg(FIG_1, plain, Style(9)))
