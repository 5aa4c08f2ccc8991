import copy
import json
import os
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import numpy as np
import pytest
from fake_results import ROOT, null_estimate
from profiles import profile_params

import darkmatter.figures
from darkmatter.figures import FIGURES, FigureModule, figure_data, figure_svg
from darkmatter.figures.style import COMPONENTS, DOUBLE, ON_DARK, ON_LIGHT, PALETTE, Style, short
from darkmatter.params.schema import Params
from darkmatter.results.load import Results

DRAWN = [entry for entry in FIGURES if not entry.is_table]
BY_ID = {entry.id: entry for entry in FIGURES}
STYLE = Style(8)


def every_estimate(content: Any, first: bool = False) -> Iterator[tuple[dict[str, Any], str]]:
    """(parent, key) of every estimate anywhere in results; with `first`, of the first member of each list alone."""
    members = content[:1] if first and isinstance(content, list) else content
    items = members.items() if isinstance(members, dict) else enumerate(members) if isinstance(members, list) else ()
    for key, value in items:
        if isinstance(value, dict) and "low" in value:
            yield content, key
        else:
            yield from every_estimate(value, first)


def subset(results: Results, keep: Callable[[dict[str, Any]], bool]) -> Results:
    decomposition = copy.deepcopy(results.decomposition)
    for run in decomposition.values():
        run["saes"] = [sae for sae in run["saes"] if keep(sae)]
    return Results(decomposition, results.experiments)


@pytest.mark.parametrize("entry", DRAWN, ids=lambda entry: entry.id)
def test_svg_is_whole_and_fits_its_page(entry: FigureModule, drawn: Path) -> None:
    root = ElementTree.parse(drawn / f"{entry.id}.svg").getroot()  # noqa: S314 - our own file
    assert root.tag == "{http://www.w3.org/2000/svg}svg"
    width = float(root.get("width").removesuffix("pt")) / 72
    assert 0 < width <= DOUBLE
    text = (drawn / f"{entry.id}.svg").read_text()
    assert "<script" not in text and "<text" not in text
    assert not re.search(r"<dc:date>", text)


def test_folder_holds_exactly_the_registry(drawn: Path) -> None:
    expected = {f"{entry.id}.json" for entry in FIGURES} | {f"{entry.id}.svg" for entry in DRAWN}
    assert {path.name for path in drawn.iterdir()} == expected


def test_modules_are_named_after_their_outputs() -> None:
    for entry in FIGURES:
        assert Path(entry.module.__file__).stem == entry.id
    files = Path(darkmatter.figures.__file__).parent.glob("*_*.py")
    named = {file.stem for file in files if file.stem.startswith(("fig", "tab", "sec"))}
    assert len(BY_ID) == len(FIGURES) and BY_ID.keys() == named


@pytest.mark.parametrize("entry", FIGURES, ids=lambda entry: entry.id)
def test_every_module_says_what_it_shows_and_where_the_paper_has_it(entry: FigureModule) -> None:
    assert entry.title[0].isupper() and not entry.title.endswith(".")
    assert entry.caption.endswith(".") and len(entry.caption) > len(entry.title)
    assert re.match(r"(Fig\. \d+\w?|Table \d), (section|appendi)|(Section|Appendix) |ours$", entry.paper)


def test_same_bytes_in_another_process(params: Params, drawn: Path, tmp_path: Path) -> None:
    """With another hash seed, so that no order of a set or dictionary leaks into a file."""
    code = (
        "import sys; sys.path[:0] = sys.argv[2:]\n"
        "from pathlib import Path\nfrom fake_results import fake_results\nfrom profiles import profile_params\n"
        "from darkmatter.figures import write_figures\nimport darkmatter.report.content, darkmatter.report.render\n"
        "params = profile_params('smoke')\nwrite_figures(fake_results(params), params, Path(sys.argv[1]))\n"
        "assert 'torch' not in sys.modules, 'plotting imports torch'\n"
    )
    command = [
        sys.executable,
        "-c",
        code,
        str(tmp_path),
        str(ROOT),
        str(ROOT / "tests/support"),
        str(ROOT / "tests/fakes"),
    ]
    subprocess.run(command, check=True, env=os.environ | {"PYTHONHASHSEED": "7"})
    for path in drawn.iterdir():
        assert (tmp_path / path.name).read_bytes() == path.read_bytes(), path.name


@pytest.mark.parametrize("entry", FIGURES, ids=lambda entry: entry.id)
def test_json_beside_the_figure_is_what_was_drawn(
    entry: FigureModule, drawn: Path, params: Params, results: Results
) -> None:
    data = figure_data(entry, results, params)
    assert json.loads((drawn / f"{entry.id}.json").read_text()) == json.loads(json.dumps(data))
    assert ("not_drawn" in data) == (entry.id == "fig07_interpretability")  # the made-up judge is the surrogate


def test_breakdown_shows_the_inputs(params: Params, results: Results) -> None:
    data = figure_data(BY_ID["fig01_breakdown"], results, params)
    saes = [sae for sae in results.decomposition["resid_post.1"]["saes"] if sae["group"] == "widths"]
    for key in ("fvu", "fvu_nonlinear"):
        expected = [sae["estimates"]["token"]["paper"][key]["value"] for sae in saes]
        assert [point[key]["value"] for point in data["saes"]] == expected
    assert [sae["name"] for sae in data["other_seeds"]] == ["seeds-64-k4-s1"]
    law, curve = data["power_law"], data["curve"]
    expected = law["asymptote"] + law["scale"] * np.array(curve["d_sae"]) ** -law["exponent"]
    np.testing.assert_allclose(curve["fvu"], expected)
    nonlinear = [point["fvu_nonlinear"]["value"] for point in data["saes"]]
    assert data["line"]["value"] == pytest.approx(np.mean(nonlinear))
    assert data["gap"] == pytest.approx(law["asymptote"] - np.mean(nonlinear))


def test_maps_show_the_inputs_of_one_budget(params: Params, results: Results) -> None:
    data = figure_data(BY_ID["fig02_maps"], results, params)
    by_name = {sae["name"]: sae for sae in results.decomposition["resid_post.1"]["saes"]}
    assert {point["name"] for point in data["points"]} == {n for n in by_name if n.startswith(("widths", "sparsity"))}
    for point in data["points"]:
        truth = by_name[point["name"]]["estimates"]["token"]["paper"]
        assert {key: point[key]["value"] for key in ("norm_r2", "vector_r2", "fvu_nonlinear")} == {
            key: truth[key]["value"] for key in ("norm_r2", "vector_r2", "fvu_nonlinear")
        }


def test_maps_never_mix_training_budgets(params: Params, results: Results) -> None:
    results.decomposition["resid_post.1"]["saes"][0]["train_tokens"] *= 2
    odd = results.decomposition["resid_post.1"]["saes"][0]["name"]
    data = figure_data(BY_ID["fig02_maps"], results, params)
    assert odd in data["left_out"] and odd not in {point["name"] for point in data["points"]}


def test_pairs_and_tokens_are_the_inputs(params: Params, results: Results) -> None:
    pairs = figure_data(BY_ID["fig04_per_token_scaling"], results, params)["pairs"]
    scaling = results.experiments["per_token_scaling"]
    truth = {(p["sae_1"], p["sae_2"]): p["estimates"]["token"] for p in scaling["pairs"]}
    assert {(p["sae_1"], p["sae_2"]): p["authors"]["value"] for p in pairs} == {
        pair: estimates["authors"]["value"] for pair, estimates in truth.items()
    }
    tokens = figure_data(BY_ID["fig05_tokens"], results, params)
    assert tokens["text"] == scaling["tokens"]["text"]
    assert [sae["error_sq"] for sae in tokens["saes"]] == [s["error_sq"] for s in scaling["tokens"]["saes"]]


@pytest.mark.parametrize("entry", FIGURES, ids=lambda entry: entry.id)
def test_one_null_survives_with_its_reason(entry: FigureModule, params: Params, results: Results) -> None:
    if entry.id == "fig07_interpretability":
        results.experiments["interpretability"]["judge"] = "a-model"
    for hookpoint in results.decomposition.values():
        for sae in hookpoint["saes"][:1]:
            for parent, key in list(every_estimate(sae["estimates"])):
                parent[key] |= null_estimate("planted")
    for name in results.experiments.keys() - {"per_token_scaling"}:
        for parent, key in list(every_estimate(results.experiments[name], first=True)):
            parent[key] |= null_estimate("planted")
    results.experiments["per_token_scaling"]["pairs"][0]["estimates"]["token"]["paper"] = null_estimate("planted")
    results.experiments["per_token_scaling"]["tokens"]["mean_nonlinear_sq"].popitem()
    for sae in results.experiments["per_token_scaling"]["tokens"]["saes"]:
        for part in ("error_sq", "linear_sq", "nonlinear_sq"):
            sae[part][2] = None
    data = figure_data(entry, results, params)
    assert "null" in json.dumps(data)
    if not entry.is_table:
        figure_svg(entry, data, STYLE)
    if entry.id not in {"fig05_tokens", "fig12_token_parts"}:
        assert "planted" in json.dumps(data)


@pytest.mark.parametrize("entry", DRAWN, ids=lambda entry: entry.id)
def test_nothing_but_nulls_is_no_crash(entry: FigureModule, params: Params, results: Results) -> None:
    for parent, key in [
        *every_estimate(results.decomposition),
        *every_estimate(results.experiments),
    ]:
        parent[key] |= null_estimate()
    assert "<svg" in figure_svg(entry, figure_data(entry, results, params), STYLE)


@pytest.mark.parametrize("entry", DRAWN, ids=lambda entry: entry.id)
def test_one_sae_only(entry: FigureModule, params: Params, results: Results) -> None:
    one = subset(results, lambda sae: sae["name"] == "widths-64-k4-s0")
    scaling = copy.deepcopy(results.experiments["per_token_scaling"])
    scaling["pairs"], scaling["tokens"]["saes"] = [], scaling["tokens"]["saes"][:1]
    data = figure_data(
        entry, Results({"resid_post.1": one.decomposition["resid_post.1"]}, {"per_token_scaling": scaling}), params
    )
    assert "<svg" in figure_svg(entry, data, STYLE)
    if entry.id == "fig01_breakdown":
        assert data["power_law"]["asymptote"] is None and "cannot fix" in data["power_law"]["reason"]


@pytest.mark.parametrize("entry", DRAWN, ids=lambda entry: entry.id)
def test_missing_inputs_say_why_there_is_no_figure(entry: FigureModule, params: Params, results: Results) -> None:
    nothing = subset(results, lambda sae: False)
    data = figure_data(entry, Results(nothing.decomposition, {}), params)
    assert list(data) == ["not_drawn"] and len(data["not_drawn"]) > 10
    assert "<svg" in figure_svg(entry, data, STYLE)


def test_missing_group_is_named(params: Params, results: Results) -> None:
    data = figure_data(BY_ID["fig03_layers"], subset(results, lambda sae: sae["group"] != "layers"), params)
    assert data == {"not_drawn": "no SAE of group layers at any hookpoint"}


def test_components_keep_their_colour_everywhere(drawn: Path) -> None:
    uses = {
        "fig01_breakdown": ("error", "nonlinear", "absent"),
        "fig03_layers": ("error",),
        "fig05_tokens": ("nonlinear",),
        "fig06_norm_test": ("x", "sae", "error", "linear", "nonlinear"),
        "fig12_token_parts": ("linear", "nonlinear"),
    }
    for name, components in uses.items():
        text = (drawn / f"{name}.svg").read_text()
        assert all(COMPONENTS[component].colour.lower() in text for component in components), name
    for attribute in ("colour", "marker"):
        assert len({getattr(look, attribute) for look in COMPONENTS.values()}) == len(COMPONENTS)


def test_no_figure_has_a_colour_of_its_own() -> None:
    for file in Path(darkmatter.figures.__file__).parent.glob("*.py"):
        found = re.search(r"#[0-9A-Fa-f]{6}", file.read_text(encoding="utf-8"))
        assert bool(found) == (file.stem == "style"), file.stem


HAVE_MAPS = {"fig02_maps", "fig04_per_token_scaling", "fig10_appendix_maps", "fig11_appendix_maps"}
HAVE_MAPS |= {"fig16_nonlinear_scaling"}


@pytest.mark.parametrize("entry", DRAWN, ids=lambda entry: entry.id)
def test_a_page_can_replace_every_colour(entry: FigureModule, drawn: Path) -> None:
    """Colours of the palette and no others but a map's; nothing drawn in the black that an SVG leaves out."""
    text = (drawn / f"{entry.id}.svg").read_text()
    colours = set(re.findall(r"#[0-9a-fA-F]{6}\b", text))
    unknown = colours - set(PALETTE.values())
    assert bool(unknown) == (entry.id in HAVE_MAPS), unknown
    drawing = re.sub(r"<defs>.*?</defs>", "", text, flags=re.DOTALL)
    assert not [tag for tag in re.findall(r"<path[^>]*>", drawing) if "style=" not in tag]
    assert not [tag for tag in re.findall(r"<g [^>]*transform=[^>]*>", drawing) if "fill: #" not in tag]


def test_names_of_the_palette_are_one_to_one() -> None:
    assert len(set(PALETTE.values())) == len(PALETTE)
    assert not {ON_DARK, ON_LIGHT} & set(PALETTE.values())


# Machado, Oliveira and Fernandes (2009), full severity, on linear RGB.
DEFICIENCIES = {
    "protanopia": [[0.152286, 1.052583, -0.204868], [0.114503, 0.786281, 0.099216], [-0.003882, -0.048116, 1.051998]],
    "deuteranopia": [[0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413], [-0.011820, 0.042940, 0.968881]],
}


def separation(colours: list[str], matrix: list[list[float]]) -> float:
    """Smallest distance of any two colours, in linear RGB as a dichromat sees it."""
    rgb = np.array([[int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)] for colour in colours])
    seen = (np.where(rgb <= 0.04045, rgb / 12.92, ((rgb + 0.055) / 1.055) ** 2.4)) @ np.array(matrix).T
    distance = np.linalg.norm(seen[:, None] - seen[None], axis=-1)
    return float(distance[~np.eye(len(colours), dtype=bool)].min())


@pytest.mark.parametrize("matrix", DEFICIENCIES.values(), ids=DEFICIENCIES)
def test_colours_differ_for_colour_blind_readers(matrix: list[list[float]]) -> None:
    assert separation([look.colour for look in COMPONENTS.values()], matrix) > 0.12
    assert separation(["#c04040", "#627030"], DEFICIENCIES["deuteranopia"]) < 0.12  # the measure can fail


def test_dollar_signs_are_text_not_mathematics(params: Params, results: Results) -> None:
    scaling = copy.deepcopy(results.experiments["per_token_scaling"])
    scaling["hookpoint"] = "$\\frac{"
    data = figure_data(BY_ID["fig05_tokens"], Results({}, {"per_token_scaling": scaling}), params)
    figure_svg(BY_ID["fig05_tokens"], data, STYLE)
    figure_svg(BY_ID["fig05_tokens"], {"not_drawn": "$\\frac{"}, STYLE)


def test_font_size_changes_the_figure_and_not_its_data(params: Params, results: Results) -> None:
    entry = BY_ID["fig03_layers"]
    data = figure_data(entry, results, params)
    assert figure_svg(entry, data, Style(8)) != figure_svg(entry, data, Style(10))
    assert figure_data(entry, results, profile_params("smoke", font_size=10)) == data


@pytest.mark.parametrize(
    ("number", "text"), [(512, "512"), (1024, "1k"), (1536, "1536"), (1 << 20, "1M"), (1.9, "1.9"), (31.9, "32")]
)
def test_short_numbers(number: float, text: str) -> None:
    assert short(number) == text
