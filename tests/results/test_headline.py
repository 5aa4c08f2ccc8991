import copy
import json
from pathlib import Path

import numpy as np
import pytest
from fake_results import fake_estimate, fake_results, null_estimate, write_results
from profiles import profile_params

from darkmatter.figures import fig01_breakdown, fig03_layers, fig08_downstream
from darkmatter.params.schema import Params
from darkmatter.results.breakdown import breakdown, horizontal_line
from darkmatter.results.headline import change, headline_metrics, headline_sentences, outcome
from darkmatter.results.load import NotDrawn, Results, estimate, load_results, one_per_cell
from darkmatter.storage.artifacts import ArtifactError, to_json

GAP = fake_estimate(0.1)


@pytest.fixture(scope="module")
def params() -> Params:
    return profile_params("smoke")


@pytest.fixture
def results(params: Params) -> Results:
    return fake_results(params)


def set_series(results: Results, fvu: list[float], nonlinear: list[float], half: float = 0.001) -> None:
    saes = [sae for sae in results.decomposition["resid_post.1"]["saes"] if sae["group"] == "widths"]
    for sae, one, two in zip(saes, fvu, nonlinear, strict=True):
        sae["estimates"]["token"]["paper"]["fvu"] = fake_estimate(one, half)
        sae["estimates"]["token"]["paper"]["fvu_nonlinear"] = fake_estimate(two, half)


def test_text_of_a_dataset_is_named_by_it(params: Params, results: Results) -> None:
    corpus = profile_params("smoke-hub").corpus
    sentences = headline_sentences(results, params.model_copy(update={"corpus": corpus}), GAP)
    assert "(monology/pile-uncopyrighted)" in sentences[1]


def test_metrics_are_the_primary_estimates_of_the_widest_sae(params: Params, results: Results) -> None:
    metrics = headline_metrics(results, params)
    saes = [s for s in results.decomposition["resid_post.1"]["saes"] if s["group"] == "widths"]
    truth = max(saes, key=lambda sae: sae["d_sae"])["estimates"]["token"]["paper"]
    widest = {key: truth[key]["value"] for key in ("fvu", "fvu_nonlinear", "norm_r2", "vector_r2")}
    result = breakdown(results, params)
    assert metrics == widest | {"asymptote": result.law.asymptote, "asymptote_gap": result.gap}
    to_json(metrics)


def test_metrics_without_a_series_say_why(params: Params, results: Results) -> None:
    metrics = headline_metrics(Results({}, results.experiments), params)
    assert metrics == {"reason": "no results for hookpoint resid_post.1"}


def test_three_sentences_from_any_results(params: Params, results: Results) -> None:
    sentences = headline_sentences(results, params, GAP)
    assert len(sentences) == 3 and all(sentence.endswith(".") for sentence in sentences)
    assert f"{len(params.sae_specs())} sparse autoencoders" in sentences[0] and "5 hookpoints" in sentences[0]
    assert "82,300 tokens of 100 contexts (alpha and beta)" in sentences[1]


def test_directions_follow_the_numbers(params: Params, results: Results) -> None:
    set_series(results, [0.5, 0.4, 0.3, 0.25], [0.10, 0.12, 0.14, 0.16])
    text = headline_sentences(results, params, GAP)[2]
    assert "FVU falls from 0.500 to 0.250" in text and "FVU_nonlinear rises from 0.100 to 0.160" in text
    set_series(results, [0.25, 0.3, 0.4, 0.5], [0.1601, 0.16, 0.16, 0.16])
    text = headline_sentences(results, params, GAP)[2]
    assert "FVU rises from 0.250 to 0.500" in text and "FVU_nonlinear goes from 0.160 to 0.160" in text


def test_no_direction_without_intervals_or_values() -> None:
    bare = {"value": 0.5, "low": None, "high": None}
    assert change("FVU", bare, fake_estimate(0.1)) == "FVU goes from 0.500 to 0.100 (no interval)"
    assert change("FVU", null_estimate(), fake_estimate(0.1)) == "FVU is not defined at both ends"


@pytest.mark.parametrize(
    ("gap", "words"),
    [(0.15, ", above the mean FVU_nonlinear"), (-0.15, ", below the mean"), (0.001, "cannot tell from the mean")],
)
def test_the_asymptote_is_placed_by_the_interval_of_its_claim(
    params: Params, results: Results, gap: float, words: str
) -> None:
    """Fig. 1 has no interval of its own for it: that of the claim holds contexts, too."""
    assert words in outcome(breakdown(results, params), fake_estimate(gap, 0.01))


@pytest.mark.parametrize("gap", [None, fake_estimate(0.1) | {"short": "too few SAEs"}, null_estimate()])
def test_a_gap_without_the_claims_interval_has_none(params: Params, results: Results, gap: dict | None) -> None:
    assert "(no interval for the gap)" in outcome(breakdown(results, params), gap)


def test_horizontal_line() -> None:
    line = horizontal_line([1.0, 2.0, 3.0, None], 0.95)
    assert (line.value, line.points) == (2.0, 3)
    assert line.high - line.value == pytest.approx(4.302652729911275 / np.sqrt(3))  # t with 2 degrees of freedom
    assert horizontal_line([0.2], 0.95).low is None
    assert horizontal_line([None], 0.95).value is None


def test_series_takes_the_k_with_most_widths(params: Params, results: Results) -> None:
    content = results.decomposition["resid_post.1"]
    extra = copy.deepcopy(content["saes"][0]) | {"k": 64, "name": "widths-32-k64-s0"}
    content["saes"].append(extra)
    assert {sae["k"] for sae in breakdown(results, params).saes} == {4}


def test_one_per_cell_keeps_one_budget_and_the_first_seed(results: Results) -> None:
    saes = results.saes("resid_post.1", ["widths", "seeds"])
    kept, left_out = one_per_cell(saes)
    assert left_out == ["seeds-64-k4-s1"]
    assert len({(sae["d_sae"], sae["k"]) for sae in kept}) == len(kept)


@pytest.mark.parametrize(("k", "words"), [(60, "published SAEs of L0 nearest to 60"), (None, "published SAEs")])
def test_published_saes_have_no_k_of_their_own(params: Params, results: Results, k: int | None, words: str) -> None:
    """What they were chosen for is told as such; trained ones keep theirs; several of one target stay on a map."""
    assert breakdown(results, params).sparsity == "k = 4"
    saes = results.decomposition["resid_post.1"]["saes"]
    saes.append(copy.deepcopy(saes[0]) | {"name": "widths-32-l0_9"})
    trained, _ = one_per_cell(results.saes("resid_post.1"))
    for sae in [*saes, *results.experiments["downstream"]["saes"]]:
        sae |= {"k": k, "train_tokens": 0}
    kept, left_out = one_per_cell(results.saes("resid_post.1"))
    assert not left_out and len(kept) == len(saes) > len(trained)
    assert f"has {words}, and" in headline_sentences(results, params, GAP)[1]
    assert fig01_breakdown.data(results, params)["note"].startswith(f"{words}; ")
    rows = [{"l0": value} for value in (40.6, None, 105.0)]
    assert [fig03_layers.l0_of(some) for some in (rows, rows[:1], rows[1:2])] == [
        "L0 41 to 105",
        "L0 = 41",
        "L0 = unknown",
    ]
    l0 = {sae["name"]: round(sae["l0"]) for sae in saes}
    shown = fig08_downstream.data(results, params)["saes"]
    assert shown and all(sae["k"] == l0[sae["name"]] for sae in shown)


def test_estimate_that_is_not_there_is_an_explicit_null(results: Results) -> None:
    sae = results.decomposition["resid_post.1"]["saes"][0]
    result = estimate(sae, "norm_test_cross_fit", "linear", convention="authors")
    assert result["value"] is None and "not estimated" in result["reason"]
    assert estimate(sae, "fvu")["value"] is not None


def test_results_are_read_back(params: Params, results: Results, tmp_path: Path) -> None:
    write_results(results, tmp_path)
    result = load_results(tmp_path, params.hookpoints, results.experiments)
    assert result.decomposition == json.loads(json.dumps(results.decomposition))
    with pytest.raises(NotDrawn, match="no SAE of group nobody"):
        result.saes("resid_post.1", ["nobody"])
    (tmp_path / "decomposition" / "resid_post.1.json").write_text('{"hookpoint": "resid_post.2"}')
    with pytest.raises(ArtifactError, match=r"resid_post\.1\.json holds 'resid_post\.2'"):
        load_results(tmp_path, params.hookpoints, results.experiments)
    (tmp_path / "decomposition" / "resid_post.1.json").unlink()
    with pytest.raises(ArtifactError, match="does not exist"):
        load_results(tmp_path, params.hookpoints, results.experiments)
