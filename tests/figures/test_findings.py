"""What stands above a figure follows from its numbers: made-up results that come out one way, and the other."""

import copy
import re
from typing import Any

import pytest
from fake_interpretability import fake as fake_interpretability

from darkmatter.figures import FIGURES, FigureModule, figure_data
from darkmatter.figures.style import Style, wrapped
from darkmatter.figures.words import changes, decimals, percent_span, span
from darkmatter.params.schema import Params
from darkmatter.results.load import Results

BY_ID = {entry.id: entry for entry in FIGURES}
MAIN = "resid_post.1"


def finding(figure: str, results: Results, params: Params) -> str:
    return figure_data(BY_ID[figure], results, params)["finding"].replace("\N{NO-BREAK SPACE}", " ")


def of_saes(results: Results, key: str, hookpoint: str = MAIN) -> list[dict[str, Any]]:
    """The estimates that figures show, of every SAE of a hookpoint."""
    return [sae["estimates"]["token"]["paper"][key] for sae in results.decomposition[hookpoint]["saes"]]


@pytest.mark.parametrize("entry", FIGURES, ids=lambda entry: entry.id)
def test_every_figure_has_a_finding_with_its_numbers(entry: FigureModule, params: Params, results: Results) -> None:
    if entry.id == "fig07_interpretability":
        results.experiments["interpretability"] = fake_interpretability(params, "a-model")
    text = finding(entry.id, results, params)
    assert re.search(r"\d", text) and text != entry.title and not text.endswith(".")
    assert "None" not in text and "nan" not in text


@pytest.mark.parametrize("entry", FIGURES, ids=lambda entry: entry.id)
def test_every_figure_says_what_its_intervals_hold(entry: FigureModule, params: Params, results: Results) -> None:
    text = f"{entry.caption} {figure_data(entry, results, params).get('note', '')}"
    assert re.search(r"intervals? .{0,80}(over|hold|resample)|no interval", text, re.IGNORECASE)


def test_the_finding_stands_in_the_figure(params: Params, results: Results) -> None:
    entry, style = BY_ID["fig03_layers"], Style(8)
    data = figure_data(entry, results, params)
    with style.context():
        figure = entry.module.draw(data, style)
        style.title(figure, data["finding"])
    assert figure.get_suptitle().replace("\n", " ") == data["finding"]


def test_a_title_breaks_where_the_figure_ends() -> None:
    text = "several words that are too long for one line of this width"
    lines = wrapped(text, 10, 120).split("\n")
    assert len(lines) > 2 and " ".join(lines) == text
    assert wrapped(text, 10, 1000) == text


def test_breakdown(params: Params, results: Results) -> None:
    assert re.match(
        r"From 32 to 256 latents FVU falls by \d+ %, its nonlinear part by \d+ %", finding_of_1(results, params)
    )
    series = [sae for sae in results.decomposition[MAIN]["saes"] if sae["group"] == "widths"]
    for number, sae in enumerate(sorted(series, key=lambda sae: sae["d_sae"])):
        sae["estimates"]["token"]["paper"]["fvu"]["value"] = 0.5 - 0.05 * number
        sae["estimates"]["token"]["paper"]["fvu_nonlinear"]["value"] = 0.1 + 0.01 * number
    assert finding_of_1(results, params).endswith("FVU falls by 30 %, its nonlinear part rises by 30 %")


def finding_of_1(results: Results, params: Params) -> str:
    return finding("fig01_breakdown", results, params)


def test_maps(params: Params, results: Results) -> None:
    assert finding("fig02_maps", results, params).endswith("both fall at each step in width")
    widest = max(results.decomposition[MAIN]["saes"], key=lambda sae: sae["d_sae"])
    widest["estimates"]["token"]["paper"]["norm_r2"]["value"] = 0.99
    text = finding("fig02_maps", results, params)
    assert text.endswith("the second falls at each step in width") and "to 0.99" in text
    widest["estimates"]["token"]["paper"]["vector_r2"]["value"] = 0.99
    assert "fall" not in finding("fig02_maps", results, params)


def test_layers(params: Params, results: Results) -> None:
    rows = figure_data(BY_ID["fig03_layers"], results, params)["rows"]
    for row, value in zip(rows, (0.9, 0.5, 0.7), strict=True):
        sae = next(sae for sae in results.decomposition[row["hookpoint"]]["saes"] if sae["name"] == row["name"])
        sae["estimates"]["token"]["paper"]["norm_r2"]["value"] = value
    best, worst = rows[0]["layer"], rows[1]["layer"]
    text = f"best at layer {best} (R² 0.90) and worst at layer {worst} (R² 0.50)"
    assert finding("fig03_layers", results, params).endswith(text)


def test_tokens(params: Params, results: Results) -> None:
    saes = results.experiments["per_token_scaling"]["tokens"]["saes"]
    saes.sort(key=lambda sae: sae["d_sae"])
    saes[0]["error_sq"] = [float(number) for number in range(1, 21)]
    saes[-1]["error_sq"] = [number - 0.5 for number in range(1, 18)] + [99.0, 98.0, None]
    text = finding("fig05_tokens", results, params)
    assert "on 17 of 19 tokens" in text and "tokens is 1.00" in text
    saes[-1]["error_sq"] = [100.0 - number for number in range(1, 21)]
    assert "on 0 of 20 tokens; the rank correlation of the two over tokens is −1.00" in finding(
        "fig05_tokens", results, params
    )


def test_token_parts(params: Params, results: Results) -> None:
    tokens = results.experiments["per_token_scaling"]["tokens"]
    names = [sae["name"] for sae in sorted(tokens["saes"], key=lambda sae: sae["d_sae"])]
    tokens["mean_linear_sq"] = dict(zip(names, (100, 70, 60, 50), strict=True))
    tokens["mean_nonlinear_sq"] = dict(zip(names, (100, 100, 100, 100.2), strict=True))
    text = finding("fig12_token_parts", results, params)
    assert text.endswith("mean ‖LinearError‖² falls by 50 %, mean ‖NonlinearError‖² stays the same")
    tokens["mean_nonlinear_sq"] = dict(zip(names, (100, 100, 100, 120), strict=True))
    assert finding("fig12_token_parts", results, params).endswith("mean ‖NonlinearError‖² rises by 20 %")


def test_norm_test_counts_x_once_for_each_hookpoint(params: Params, results: Results) -> None:
    """Most SAEs are at one hookpoint: they would decide the median of x, of which each hookpoint has one value."""
    for place, hookpoint in enumerate(sorted(results.decomposition)):
        for estimates in of_saes(results, "norm_test", hookpoint):
            estimates["x"]["value"] = 0.5 + 0.1 * place
            estimates["linear"]["value"], estimates["nonlinear"]["value"] = 0.6, 0.7
    middle = 0.5 + 0.1 * (len(results.decomposition) - 1) / 2
    text = finding("fig06_norm_test", results, params)
    assert "LinearError 0.60, NonlinearError 0.70" in text and text.endswith(f"x {decimals(middle)}")


def test_error_saes(params: Params, results: Results) -> None:
    over = results.experiments["error_saes"]["over_seeds"]
    text = "SAEs learn LinearError better: FVU 0.54 against 0.59, averaged over dimensions 0.56 against 0.65"
    assert finding("sec52_error_saes", results, params) == text
    over["fvu"]["linear"]["value"] = 0.7
    text = "Pooled, SAEs learn NonlinearError better (FVU 0.59 against 0.70); averaged over dimensions, LinearError"
    assert finding("sec52_error_saes", results, params).startswith(text)


@pytest.mark.parametrize(("lead", "words"), [(0.031, "3.1 % more often"), (-0.2, "20.0 % less often")])
def test_judged_by_a_language_model(params: Params, results: Results, lead: float, words: str) -> None:
    run = fake_interpretability(params, "a-model")
    run["difference"]["mean"]["value"] = lead
    results.experiments["interpretability"] = run
    assert words in finding("fig07_interpretability", results, params)
    assert "a-model judged" in figure_data(BY_ID["figX_surrogate"], results, params)["not_drawn"]


def test_the_surrogate_leaves_the_papers_slot(params: Params, results: Results) -> None:
    assert "figX_surrogate" in figure_data(BY_ID["fig07_interpretability"], results, params)["not_drawn"]
    results.experiments["interpretability"]["parts"]["linear"]["accuracy"]["balanced"]["value"] = 0.87
    assert "0.87 on latents of LinearError" in finding("figX_surrogate", results, params)
    assert BY_ID["figX_surrogate"].paper == "ours"


def test_downstream(params: Params, results: Results) -> None:
    text = "LinearError recovers 70 % of the lost cross-entropy (its share of the variance: 39 %), NonlinearError 30 %"
    assert finding("fig08_downstream", results, params).startswith(text)
    results.experiments["downstream"]["saes"][0]["recovered_percent"]["linear"]["value"] = -5.0
    assert finding("fig08_downstream", results, params).startswith("LinearError recovers −5 to 70 %")


@pytest.mark.parametrize(
    ("change", "words"),
    [(-0.1, "falls by 10 %"), (0.1, "rises by 10 %"), (0.001, "stays the same"), (None, "changes by −10 to 10 %")],
)
def test_pursuit(params: Params, results: Results, change: float | None, words: str) -> None:
    for number, sae in enumerate(results.experiments["pursuit"]["saes"]):
        estimate = sae["pursuit"]["exact_l0"]["compared"]["token"]["paper"]["change"]
        estimate["value"] = (-0.1, 0.1)[number % 2] if change is None else change
    assert finding("fig09a_pursuit", results, params).endswith(f"FVU_nonlinear {words}")


def test_components(params: Params, results: Results) -> None:
    text = "The parents' SAEs together explain 20 % of SaeError and 16 % of NonlinearError; Sae(x) itself 20 %"
    assert finding("fig09b_components", results, params).startswith(text)
    rows = results.experiments["components"]["regressors"]
    rows[-1]["targets"]["nonlinear"]["token"]["paper"]["value"] = 0.5
    assert finding("fig09b_components", results, params).endswith("Sae(x) itself 50 % of NonlinearError")


def test_baselines(params: Params, results: Results) -> None:
    assert finding("fig13_baselines", results, params).endswith("for 3 of 3 SAEs")
    first = min(results.experiments["norm_baselines"]["saes"], key=lambda sae: sae["layer"])
    r2 = copy.deepcopy(first["estimates"]["token"])
    r2["paper"]["r2"]["token_identity_seen"]["value"] = 0.99
    first["estimates"] = first["estimates"] | {"token": r2}
    assert finding("fig13_baselines", results, params).endswith(f"for 2 of 3 SAEs, worse at layer {first['layer']}")


def test_latent_probe(params: Params, results: Results) -> None:
    against = results.experiments["latent_probe"]["against"]["token"]["paper"]
    against["active"]["ratio"]["value"], against["product"]["ratio"]["value"] = 4.2, 1.1
    text = "a*·latent is 4.20 times a latent's mean activation and 1.10 times its E(wg)/E(w)"
    assert finding("fig14_latent_probe", results, params) == text


def test_synthetic(params: Params, results: Results) -> None:
    found = results.experiments["synthetic_noise"]["estimands"]
    found["synthetic_correlations"]["x_dense"]["value"] = 0.31
    found["synthetic_line_fits"]["flatness"]["value"] = -0.2
    text = finding("fig15_synthetic", results, params)
    assert "estimated Dense: 0.31 (paper 0.98)" in text and text.endswith(
        "−20 % of what ablation adds to FVU is nonlinear"
    )


@pytest.mark.parametrize(
    ("low", "high", "words"), [(0.01, 0.03, "lowers"), (-0.03, -0.01, "raises"), (-0.01, 0.03, "lowers")]
)
def test_scaling_gain(params: Params, results: Results, low: float, high: float, words: str) -> None:
    pairs = results.experiments["per_token_scaling"]["pairs"]
    for number, pair in enumerate(pairs):
        pair["nonlinear"]["token"]["paper"]["decrease"]["value"] = (low, high)[number % 2]
    size = "−1.0 to 3.0 %" if low < 0 < high else "1.0 to 3.0 %"
    expected = f"NonlinearError's norm {words} the FVU of the predicted error norm by {size} (the paper: up to 5 %)"
    assert finding("fig16_nonlinear_scaling", results, params) == expected


def test_random_features(params: Params, results: Results) -> None:
    curve = results.experiments["random_features"]["orders"]["random"]["held_out"]["curve"]
    curve[1]["explained"]["value"] = 0.4
    text = f"In random order least is explained, 40 %, with {100 * curve[1]['masked']:.0f} % of features masked"
    assert finding("figD_random_features", results, params).startswith(text)


def test_controls(params: Params, results: Results) -> None:
    count = len(results.experiments["controls"]["controls"]) + 1
    assert finding("tabX_controls", results, params) == f"{count} of {count} controls find what is known"
    results.experiments["controls"]["controls"][0]["token"]["holds"] = False
    assert finding("tabX_controls", results, params).startswith(f"{count - 1} of {count} ")


def test_nulls(params: Params, results: Results) -> None:
    trained, *nulls = results.experiments["nulls"]["nulls"]
    for row in (trained, *nulls):
        for number, sae in enumerate(row["saes"]):
            numbers = sae["estimates"]["token"]["paper"]
            numbers["vector_r2"]["value"] = 0.5 + 0.1 * number if row is trained else 0.6
            numbers["norm_r2"]["value"] = 0.8 if row is trained else 0.1 + 0.3 * number
    text = "0.50 to 0.60 of the error vector of trained SAEs and 0.60 where nothing was learned"
    assert text in finding("figX_nulls", results, params)
    assert finding("figX_nulls", results, params).endswith("of the error norm it is 0.80 and 0.10 to 0.40")
    results.experiments["nulls"]["nulls"] = []
    assert "the experiment is off" in figure_data(BY_ID["figX_nulls"], results, params)["not_drawn"]


def test_ground_truth(params: Params, results: Results) -> None:
    for number, sae in enumerate(results.experiments["ground_truth"]["saes"]):
        introduced = sae["by_cosine"][0]["parts"]["introduced"]
        introduced["of_linear"]["value"] = -0.3 + 0.1 * (number % 2)
        introduced["of_nonlinear"]["value"] = 0.4 + 0.2 * (number % 2)
    text = finding("figX_ground_truth", results, params)
    assert text.startswith("Where features are known, absent ones and Dense make up 120 to 130 % of")
    assert text.endswith("and what the SAE introduces 40 to 60 % of NonlinearError")
    results.experiments["ground_truth"]["saes"] = []
    assert "the experiment is off" in figure_data(BY_ID["figX_ground_truth"], results, params)["not_drawn"]


def test_architectures(params: Params, results: Results) -> None:
    text = finding("figX_architectures", results, params)
    assert text.startswith("At L0 4 FVU of the training classes is 0.23 to 0.33 and FVU_nonlinear 0.12 to 0.13; ")
    assert text.endswith("a linear skip of rank 8 leaves 85 % of TopK's linear and 92 % of its nonlinear error")
    results.experiments["architectures"]["estimands"] = {}
    assert finding("figX_architectures", results, params).endswith("FVU_nonlinear 0.12 to 0.13")
    results.experiments["architectures"]["matched"] = []
    assert (
        "so the experiment is off in this profile"
        in figure_data(BY_ID["figX_architectures"], results, params)["not_drawn"]
    )


def test_words() -> None:
    assert span([0.741, 0.744]) == "0.74" and span([0.9, 0.1]) == "0.10 to 0.90" and span([]) == "undefined"
    assert percent_span([0.1, 0.32]) == "10 to 32\N{NO-BREAK SPACE}%"
    assert decimals(-0.5) == "−0.50"
    assert changes(("A", 2, 1), ("B", 2, 1.5)) == "A falls by 50\N{NO-BREAK SPACE}%, B by 25\N{NO-BREAK SPACE}%"
    assert changes(("A", 2, 1), ("B", 2, 2)).endswith("B stays the same")
    assert changes(("A", None, 1)) == "A has no defined change"
