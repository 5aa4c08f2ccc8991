"""Fig. 9a and the encoder band of Fig. 1, from results without a model behind them."""

import copy

import pytest
from fake_results import fake_results, null_estimate
from profiles import profile_params

from darkmatter.figures import FIGURES, figure_data, figure_svg
from darkmatter.figures.fig09a_pursuit import series
from darkmatter.figures.style import COMPONENTS, Style
from darkmatter.results.breakdown import breakdown
from darkmatter.results.load import Results

BY_ID = {entry.id: entry for entry in FIGURES}


@pytest.fixture(scope="module")
def params():
    return profile_params("smoke")


@pytest.fixture
def results(params):
    return fake_results(params)


def changes(results, variant):
    saes = results.experiments["pursuit"]["saes"]
    return [sae["pursuit"][variant]["compared"]["token"]["paper"]["change"] for sae in saes]


def test_the_band_is_the_mean_change_applied_to_the_line(params, results):
    for number, change in enumerate(changes(results, "exact_l0")):
        change["value"] = -0.02 * (number + 1)
    result = breakdown(results, params)
    assert result.encoder.saes == len(result.saes) == 4
    assert result.encoder.change["exact_l0"] == pytest.approx(-0.05)
    assert result.encoder.change["published"] == pytest.approx(-0.04)
    assert result.encoder.low_edge == pytest.approx(0.95 * result.line.value)
    data = figure_data(BY_ID["fig01_breakdown"], results, params)
    assert "-5.0% (exact_l0), -4.0% (published); drawn: exact_l0" in data["note"]
    assert COMPONENTS["encoder"].colour.lower() in figure_svg(BY_ID["fig01_breakdown"], data, Style(8))


def test_without_pursuit_fig_1_is_drawn_and_says_so(params, results):
    rest = {name: run for name, run in results.experiments.items() if name != "pursuit"}
    without = Results(results.decomposition, rest)
    data = figure_data(BY_ID["fig01_breakdown"], without, params)
    assert data["encoder"] is None and "No encoder error" in data["note"]
    assert COMPONENTS["encoder"].colour.lower() not in figure_svg(BY_ID["fig01_breakdown"], data, Style(8))
    assert figure_data(BY_ID["fig09a_pursuit"], without, params) == {"not_drawn": "no results of pursuit"}


def test_saes_that_fig_1_does_not_show_make_no_band(params, results):
    for sae in results.experiments["pursuit"]["saes"]:
        sae["name"] = "another"
    assert breakdown(results, params).encoder is None


@pytest.mark.parametrize("value", [None, 0.1])
def test_no_band_where_pursuit_takes_nothing_off(params, results, value):
    for change in changes(results, "exact_l0"):
        change.update(null_estimate() if value is None else {"value": value})
    data = figure_data(BY_ID["fig01_breakdown"], results, params)
    assert COMPONENTS["encoder"].colour.lower() not in figure_svg(BY_ID["fig01_breakdown"], data, Style(8))


def test_figure_9a_shows_the_inputs(params, results):
    data = figure_data(BY_ID["fig09a_pursuit"], results, params)
    for point, sae in zip(data["saes"], results.experiments["pursuit"]["saes"], strict=True):
        for number in ("fvu", "fvu_nonlinear"):
            assert point["encoder"][number]["value"] == sae["encoder"]["estimates"]["token"]["paper"][number]["value"]
            pursued = sae["pursuit"]["exact_l0"]["estimates"]["token"]["paper"][number]["value"]
            assert point["exact_l0"][number]["value"] == pursued
        for way in ("paper", "authors"):
            expected = sae["pursuit"]["published"]["compared"]["token"][way]["decrease"]
            assert point["published"]["compared"][way]["decrease"] == expected
    assert "2.00% (published)" in data["note"]


def test_saes_that_differ_in_more_than_width_share_no_line(params, results):
    saes = results.experiments["pursuit"]["saes"]
    longer = [copy.deepcopy(sae) | {"train_tokens": 3_200_000, "group": "ladder"} for sae in saes]
    results.experiments["pursuit"]["saes"] = [sae for pair in zip(longer, saes, strict=True) for sae in pair]
    rows = series(figure_data(BY_ID["fig09a_pursuit"], results, params)["saes"])
    names, alike = zip(*rows, strict=True)
    assert names == (f"{saes[0]['train_tokens'] / 1e6:.1f}M tokens", "3.2M tokens")
    for own in alike:
        assert [sae["d_sae"] for sae in own] == sorted({sae["d_sae"] for sae in saes})


def test_of_saes_that_differ_in_their_seed_alone_the_first_is_drawn(params, results):
    saes = results.experiments["pursuit"]["saes"]
    before = figure_data(BY_ID["fig09a_pursuit"], results, params)["saes"]
    again = [copy.deepcopy(sae) | {"seed": sae["seed"] + 1, "name": f"{sae['name']}-again"} for sae in saes]
    results.experiments["pursuit"]["saes"] = [*again, *saes]
    assert figure_data(BY_ID["fig09a_pursuit"], results, params)["saes"] == before


def test_published_saes_of_one_width_are_all_drawn(params, results):
    """Their L0 is no option of theirs, and all have seed 0."""
    saes = [sae | {"k": None, "train_tokens": 0} for sae in results.experiments["pursuit"]["saes"]]
    others = [copy.deepcopy(sae) | {"name": f"{sae['name']}-l0_85"} for sae in saes]
    results.experiments["pursuit"]["saes"] = [*saes, *others]
    assert len(figure_data(BY_ID["fig09a_pursuit"], results, params)["saes"]) == 2 * len(saes)


def test_a_row_is_named_only_where_there_are_several(params, results):
    ((name, _),) = series(figure_data(BY_ID["fig09a_pursuit"], results, params)["saes"])
    assert name == ""
