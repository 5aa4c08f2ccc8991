"""What a figure draws: bars and points with the values of its results, the paper's marks, the tokens, no empty room."""

import copy
from typing import Any

import numpy as np
import pytest
from fake_results import null_estimate
from matplotlib.axes import Axes
from matplotlib.collections import PolyCollection
from matplotlib.colors import to_hex
from matplotlib.figure import Figure

from darkmatter.figures import FIGURES, figure_data
from darkmatter.figures import fig06_norm_test as norm_test
from darkmatter.figures.fig14_latent_probe import smooth
from darkmatter.figures.paper import ERROR_SAE_FVU, NORM_R2, NORM_R2_MIDDLE, PURSUIT_DECREASE, VECTOR_R2
from darkmatter.figures.style import BAND, COMPONENTS, MARK, Style
from darkmatter.figures.token_norms import visible
from darkmatter.params.schema import Params
from darkmatter.results.load import Results

BY_ID = {entry.id: entry for entry in FIGURES}
STYLE = Style(8)


def drawing(figure: str, results: Results, params: Params) -> tuple[Figure, dict[str, Any]]:
    entry = BY_ID[figure]
    data = figure_data(entry, results, params)
    with STYLE.context():
        return entry.module.draw(data, STYLE), data


def bands(axes: Axes, which: str = "y") -> list[tuple[float, float]]:
    """(low, high) of every grey band on an axis."""
    boxes = [patch for patch in axes.patches if to_hex(patch.get_facecolor()) == BAND]
    ends = [(box.get_y(), box.get_height()) if which == "y" else (box.get_x(), box.get_width()) for box in boxes]
    return [pytest.approx((low, low + size)) for low, size in ends]


def grey_lines(axes: Axes) -> list[float]:
    """Heights of the grey lines of an axis."""
    return [float(np.mean(line.get_ydata())) for line in axes.lines if line.get_color() == MARK]


def texts(axes: Axes) -> str:
    return " | ".join(text.get_text() for text in axes.texts)


def legend_of(figure: Figure) -> list[str]:
    return [text.get_text() for legend in figure.legends for text in legend.get_texts()]


def test_maps_have_the_papers_range_below_them(params: Params, results: Results) -> None:
    figure, _ = drawing("fig02_maps", results, params)
    scales = {axes.get_label(): axes for axes in figure.axes if axes.get_label().endswith(" scale")}
    for key, printed in (("norm_r2", NORM_R2), ("vector_r2", VECTOR_R2)):
        scale = scales[f"{key} scale"]
        assert bands(scale, "x") == [(printed.low, printed.high)]
        low, high = scale.get_xlim()
        assert low < printed.low and high > printed.high
        assert f"{printed.low:.2f} to {printed.high:.2f}" in scale.get_xlabel()
    assert not bands(scales["fvu_nonlinear scale"], "x")


def test_layers_fill_the_axis_and_show_the_papers_band(params: Params, results: Results) -> None:
    figure, data = drawing("fig03_layers", results, params)
    axes = figure.axes[0]
    assert bands(axes) == [(NORM_R2_MIDDLE.low, NORM_R2_MIDDLE.high)]
    lowest = min(NORM_R2_MIDDLE.low, *(row["norm_r2"]["low"] for row in data["rows"]))
    low, high = axes.get_ylim()
    assert low < lowest and (lowest - low) < 0.34 * (high - low)


def test_tokens_stand_below_two_widths(params: Params, results: Results) -> None:
    results.experiments["per_token_scaling"]["tokens"]["text"][3] = "\n"
    results.experiments["per_token_scaling"]["tokens"]["text"][4] = " extraordinarily"
    figure, data = drawing("fig05_tokens", results, params)
    shown = [tick.get_text() for axes in figure.axes for tick in axes.get_xticklabels()]
    assert len(shown) == len(data["text"]) and shown[:5] == ["word0", "word1", "word2", "↵", "extraordin…"]
    widths = sorted(sae["d_sae"] for sae in data["saes"])
    assert len(widths) > 2
    assert legend_of(figure)[:2] == [f"{widths[0]} latents", f"{widths[-1]} latents"]
    heights = [line.get_ydata() for line in figure.axes[0].lines if line.get_marker() == "o"]
    np.testing.assert_allclose(heights, [data["saes"][0]["error_sq"], data["saes"][-1]["error_sq"]])


def test_tokens_go_on_in_a_second_row(params: Params, results: Results) -> None:
    tokens = results.experiments["per_token_scaling"]["tokens"]
    tokens["text"] = [f" t{number}" for number in range(70)]
    tokens["positions"] = list(range(70))
    for sae in tokens["saes"]:
        sae["error_sq"] = [float(number + 1) for number in range(70)]
    figure, _ = drawing("fig05_tokens", results, params)
    rows = [[tick.get_text() for tick in axes.get_xticklabels()] for axes in figure.axes]
    assert [len(row) for row in rows] == [50, 20] and rows[1][0] == "t50"


def test_parts_have_the_tokens_and_one_scale(params: Params, results: Results) -> None:
    figure, data = drawing("fig12_token_parts", results, params)
    panels = {axes.get_label(): axes for axes in figure.axes}
    assert panels["linear"].get_ylim() == panels["nonlinear"].get_ylim()
    below = [tick.get_text() for tick in panels["nonlinear"].get_xticklabels()]
    assert below == [visible(token) for token in data["text"]][: len(below)]
    for line, part in zip(panels["mean"].lines, ("linear", "nonlinear"), strict=True):
        assert list(line.get_ydata()) == [sae[f"mean_{part}_sq"] for sae in data["saes"]]


def test_a_token_is_what_the_font_can_draw() -> None:
    assert [visible(token) for token in (" a", "\n\n", "  ", "\t", "漢x", "$x$")] == ["a", "↵↵", "␣␣", "→", "□x", "$x$"]


def test_x_has_one_point_for_each_hookpoint(params: Params, results: Results) -> None:
    figure, data = drawing("fig06_norm_test", results, params)
    axes = figure.axes[0]
    points = {
        target: sum(
            len(line.get_xdata())
            for line in axes.lines
            if line.get_marker() == COMPONENTS[target].marker
            and line.get_linestyle() == "None"
            and len(line.get_xdata())
            and abs(line.get_xdata()[0] - place) < 0.5
        )
        for place, target in enumerate(norm_test.TARGETS)
    }
    hookpoints = {sae["hookpoint"] for sae in data["saes"]}
    assert points.pop("x") == len(hookpoints) < len(data["saes"])
    assert set(points.values()) == {len(data["saes"])}


def test_the_control_is_a_line_in_the_norm_test(params: Params, results: Results) -> None:
    figure, data = drawing("fig06_norm_test", results, params)
    dashed = [line.get_ydata()[0] for line in figure.axes[0].lines if line.get_linestyle() == "--"]
    assert data["exponential"] == 0.75 and dashed == [0.75] and "weights: 0.75" in texts(figure.axes[0])
    rest = {name: run for name, run in results.experiments.items() if name != "controls"}
    figure, data = drawing("fig06_norm_test", Results(results.decomposition, rest), params)
    assert data["exponential"] is None and not texts(figure.axes[0]).count("exponential")


def test_error_saes_stand_beside_the_papers_values_on_an_axis_that_fits(params: Params, results: Results) -> None:
    figure, data = drawing("sec52_error_saes", results, params)
    final = figure.axes[1]
    assert sorted(set(grey_lines(final))) == sorted(value.low for value in ERROR_SAE_FVU.values())
    low, high = final.get_ylim()
    values = [
        data["over_seeds"][measure][part]["value"] for measure in ("fvu", "fvu_per_dim") for part in ERROR_SAE_FVU
    ]
    everything = [*values, *(value.low for value in ERROR_SAE_FVU.values())]
    assert low < min(everything) and high > max(everything)
    assert low > 0.8 * min(everything)


def test_the_judge_is_beside_chance(params: Params, results: Results) -> None:
    figure, data = drawing("figX_surrogate", results, params)
    dashed = [line.get_ydata()[0] for line in figure.axes[1].lines if line.get_linestyle() == "--"]
    assert dashed == [1 - data["parts"][part]["silent"]["value"] for part in ("linear", "nonlinear")]
    results.experiments["interpretability"]["parts"]["linear"]["accuracy"]["silent"] = null_estimate()
    figure, _ = drawing("figX_surrogate", results, params)
    assert len([line for line in figure.axes[1].lines if line.get_linestyle() == "--"]) == 1


def test_bars_are_the_recovered_shares_with_ticks_for_what_is_expected(params: Params, results: Results) -> None:
    figure, data = drawing("fig08_downstream", results, params)
    left, right = figure.axes
    for axes, key in ((left, "increase"), (right, "recovered_percent")):
        heights = sorted(bar.get_height() for bar in axes.patches)
        assert heights == sorted(item["value"] for sae in data["saes"] for item in sae[key].values())
        assert all(bar.get_y() == 0 for bar in axes.patches)
    ticks = [lines for lines in right.collections if lines.get_linewidth()[0] > 1.5]  # an interval's bar is thinner
    drawn = [path.vertices[0, 1] for lines in ticks for path in lines.get_paths()]
    ways = [parts for sae in data["saes"] for parts in sae["expected_percent"].values()]
    assert sorted(drawn) == sorted(item["value"] for parts in ways for item in parts.values())


def test_pursuit_stands_beside_the_papers_decrease(params: Params, results: Results) -> None:
    figure, _ = drawing("fig09a_pursuit", results, params)
    assert bands(figure.axes[1]) == [(-100 * PURSUIT_DECREASE.high, -100 * PURSUIT_DECREASE.low)]


def test_the_main_split_comes_first_and_the_papers_ranges_lie_behind(params: Params, results: Results) -> None:
    figure, data = drawing("fig09b_components", results, params)
    axes = figure.axes[0]
    assert legend_of(figure) == ["SaeError", "LinearError", "NonlinearError", "no context on both sides", "paper"]
    assert grey_lines(axes) == [0.5]
    ranges = [box.get_paths()[0].vertices[:, 1] for box in axes.collections if isinstance(box, PolyCollection)]
    assert len(ranges) == 2 * (len(data["regressors"]) - 1)
    assert {(float(heights.min()), float(heights.max())) for heights in ranges} == {(0.06, 0.1), (0.04, 0.14)}


def test_the_curve_of_latents_is_means_and_quartiles_of_equal_groups() -> None:
    average = list(np.random.default_rng(0).permutation(120).astype(float))
    groups = smooth(average, [2 * value for value in average])
    assert {group["latents"] for group in groups} == {10} and len(groups) == 12
    assert [group["mean"] for group in groups] == pytest.approx([2 * group["average"] for group in groups])
    assert groups[0]["low"] == pytest.approx(2 * 2.25) and groups[0]["high"] == pytest.approx(2 * 6.75)
    assert len(smooth([1.0, 2.0], [1.0, 3.0])) == 1


def test_the_latents_panel_is_the_large_one(params: Params, results: Results) -> None:
    figure, data = drawing("fig14_latent_probe", results, params)
    large, beside = figure.axes
    assert large.get_xlabel() == "E(w | active)" and beside.get_xlabel() == "E(wg) / E(w)"
    figure.canvas.draw()
    assert large.get_position().width > 1.5 * beside.get_position().width
    for axes, average in ((large, "active"), (beside, "product")):
        line = next(line for line in axes.lines if line.get_label() == "mean of neighbours")
        assert list(line.get_ydata()) == [group["mean"] for group in data["smooth"][average]]


def test_synthetic_has_table_1s_correlations(params: Params, results: Results) -> None:
    figure, data = drawing("fig15_synthetic", results, params)
    panels = {axes.get_label(): axes for axes in figure.axes}
    own = data["correlations"]
    assert texts(panels["noise_x"]) == f"r = {own['x_dense']['value']:.2f} | paper 0.98"
    assert texts(panels["noise_sae"]) == f"r = {own['sae_introduced']['value']:.2f} | paper 0.90"
    assert bands(panels["widths"]) == [(-0.1, 0.1)]


def test_scaling_gain_has_the_papers_line(params: Params, results: Results) -> None:
    figure, _ = drawing("fig16_nonlinear_scaling", results, params)
    lines = figure.axes[1]
    assert grey_lines(lines) == [5] and lines.get_ylim()[1] > 5.5


def test_breakdown_names_the_upper_level_above(params: Params, results: Results) -> None:
    """The asymptote and the line may be in either order; neither name may cover the other."""
    for shift in (-0.2, 0.3):
        changed = copy.deepcopy(results)
        for sae in changed.decomposition["resid_post.1"]["saes"]:
            sae["estimates"]["token"]["paper"]["fvu_nonlinear"]["value"] += shift
        figure, data = drawing("fig01_breakdown", changed, params)
        names = {text.get_text().split()[0].rstrip(","): text for text in figure.axes[0].texts}
        above = "asymptote" if data["gap"] > 0 else "FVU_nonlinear"
        below = {"asymptote": "FVU_nonlinear", "FVU_nonlinear": "asymptote"}[above]
        assert names[above].get_va() == "bottom" and names[below].get_va() == "top"
        assert (data["gap"] > 0) == (shift < 0)
