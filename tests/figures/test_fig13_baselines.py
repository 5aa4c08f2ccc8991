"""Fig. 13: which SAEs a line joins."""

import copy

import pytest
from fake_results import fake_results
from profiles import profile_params

from darkmatter.figures import FIGURES, figure_data
from darkmatter.figures.fig13_baselines import draw
from darkmatter.figures.style import Style

ENTRY = next(entry for entry in FIGURES if entry.id == "fig13_baselines")
PARAMS = profile_params("smoke")


def panels(results):
    return draw(figure_data(ENTRY, results, PARAMS), Style(8)).axes


def test_saes_of_one_layer_have_a_panel_by_width():
    results = fake_results(PARAMS)
    saes = results.experiments["norm_baselines"]["saes"]
    layers = sorted({sae["layer"] for sae in saes})
    widths = [64, 128, 256]
    local = [copy.deepcopy(saes[0]) | {"d_sae": width, "name": f"jumprelu-{width}-k4-s0"} for width in widths]
    saes.extend(local)
    by_layer, by_width = panels(results)
    for axes, places in ((by_layer, layers), (by_width, [6, 7, 8])):
        drawn = [list(container.lines[0].get_xdata()) for container in axes.containers]
        assert pytest.approx(places) in drawn  # a regressor without a value at some SAE has fewer marks
        assert all(line == sorted(set(line)) for line in drawn)
    assert by_width.get_title() == f"JumpReLU\nat {saes[0]['hookpoint']}"


def test_without_them_there_is_one_panel():
    assert len(panels(fake_results(PARAMS))) == 1
