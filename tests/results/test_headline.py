import copy
import json
from pathlib import Path

import numpy as np
import pytest
from fake_results import fake_results, write_results
from profiles import profile_params

from darkmatter.figures import fig01_breakdown, fig03_layers, fig08_downstream
from darkmatter.params.schema import Params
from darkmatter.results.breakdown import breakdown, horizontal_line
from darkmatter.results.headline import headline_metrics
from darkmatter.results.load import NotDrawn, Results, estimate, load_results, one_per_cell
from darkmatter.storage.artifacts import ArtifactError, to_json


@pytest.fixture(scope="module")
def params() -> Params:
    return profile_params("smoke")


@pytest.fixture
def results(params: Params) -> Results:
    return fake_results(params)


def test_metrics_are_the_primary_estimates_of_the_widest_sae(params: Params, results: Results) -> None:
    metrics = headline_metrics(results, params)
    saes = [s for s in results.decomposition["resid_post.1"]["saes"] if s["group"] == "widths"]
    truth = max(saes, key=lambda sae: sae["d_sae"])["estimates"]["token"]["paper"]
    widest = {key: truth[key]["value"] for key in ("fvu", "fvu_nonlinear", "norm_r2", "vector_r2")}
    result = breakdown(results, params)
    assert metrics == {"widest_sae": widest} | {"asymptote": result.law.asymptote, "asymptote_gap": result.gap}
    to_json(metrics)


def test_metrics_without_a_series_say_why(params: Params, results: Results) -> None:
    metrics = headline_metrics(Results({}, results.experiments), params)
    assert metrics == {"reason": "no results for hookpoint resid_post.1"}


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
