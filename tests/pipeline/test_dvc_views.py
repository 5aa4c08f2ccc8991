import json
import re
from pathlib import Path

import pytest
import vl_convert
import yaml
from dvc_render import VegaRenderer
from fake_results import fake_results
from profiles import profile_params

from darkmatter.cli import main
from darkmatter.figures.maps import PANELS
from darkmatter.figures.style import COMPONENTS
from darkmatter.params.schema import Params
from darkmatter.results.headline import METRICS, headline_metrics
from darkmatter.results.load import Results, estimate
from darkmatter.results.plot_rows import plot_rows
from darkmatter.storage.artifacts import write_json
from darkmatter.storage.paths import reports_of

ROOT = Path(__file__).parents[2]
TEMPLATES = ROOT / ".dvc" / "plots"
PIPELINE = yaml.safe_load((ROOT / "dvc.yaml").read_text())
VIEWS = {name: view for entry in PIPELINE["plots"] for name, view in entry.items()}


@pytest.fixture(scope="module")
def params() -> Params:
    return profile_params("smollm2")


@pytest.fixture(scope="module")
def results(params: Params) -> Results:
    return fake_results(params)


def test_rows_are_flat_equal_records_of_the_primary_estimates(params: Params, results: Results) -> None:
    result = plot_rows(results, params)
    saes = {sae["name"]: sae for sae in results.decomposition[params.figures.main_hookpoint]["saes"]}
    assert len(result["width_series"]) == 5 and len(result["width_l0_map"]) == 11
    for row in [row for rows in result.values() for row in rows]:
        assert row.keys() == {"name", "d_sae", "k", "l0", *METRICS}
        assert all(row[metric] == estimate(saes[row["name"]], metric)["value"] for metric in METRICS)
        assert not any(isinstance(value, (dict, list)) for value in row.values())


def test_a_profile_without_a_series_has_no_rows(params: Params, results: Results) -> None:
    assert plot_rows(Results({}, results.experiments), params) == {"width_series": [], "width_l0_map": []}


def test_metrics_name_the_sae_that_they_are_of(params: Params, results: Results) -> None:
    """DVC flattens the file: its columns are `widest_sae.fvu` and so on, as `make experiments` and the docs ask for."""
    metrics = headline_metrics(results, params)
    assert metrics.keys() == {"widest_sae", "asymptote", "asymptote_gap"} and metrics["widest_sae"].keys() == {*METRICS}
    columns = {"asymptote", "asymptote_gap", *(f"widest_sae.{name}" for name in METRICS)}
    (kept,) = re.findall(r"dvc exp show .*--keep '([^']+)'", (ROOT / "Makefile").read_text())
    kept = kept.replace("$$", "$")
    assert {name for name in columns if re.match(kept, name)} == columns - {"asymptote_gap", "widest_sae.norm_r2"}


def test_lines_have_the_colours_of_the_figures(params: Params) -> None:
    colour = json.loads((TEMPLATES / "width_series.json").read_text())["encoding"]["color"]["scale"]
    assert dict(zip(colour["domain"], colour["range"], strict=True)) == {
        "fvu": COMPONENTS["error"].colour,
        "fvu_nonlinear": COMPONENTS["nonlinear"].colour,
    }
    panels = json.loads((TEMPLATES / "width_l0_map.json").read_text())["hconcat"]
    for panel, (key, title, colours, _) in zip(panels, PANELS, strict=True):
        shown = panel["spec"]["layer"][0]["encoding"]["color"]
        scheme = shown["scale"]["scheme"] + ("_r" if shown["scale"].get("reverse") else "")
        assert (shown["field"], panel["title"], scheme) == (key, title, colours)


def test_views_plot_outputs_of_the_figures_stage_with_templates_that_exist() -> None:
    outputs = {path for entry in PIPELINE["stages"]["figures"]["plots"] for path in entry}
    for view in VIEWS.values():
        assert view["y"].keys() <= outputs
        assert (TEMPLATES / f"{view['template']}.json").is_file()
    shown = re.search(r"dvc plots show (.*) reports/.*/figures", (ROOT / "Makefile").read_text())[1]
    assert set(re.findall(r'"([^"]+)"', shown)) == VIEWS.keys()


@pytest.mark.parametrize("name", VIEWS)
def test_templates_draw_every_value(name: str, params: Params, results: Results) -> None:
    view = VIEWS[name]
    ((path, y),) = view["y"].items()
    rows = plot_rows(results, params)[Path(path).stem]
    fields = y if isinstance(y, list) else [y]
    marks = {"field": fields[0], "rev": "workspace", "value": 0.5}
    spec = VegaRenderer(
        [row | marks for row in rows],
        name,
        template=view["template"],
        template_dir=str(TEMPLATES),
        x=view["x"],
        y="value" if isinstance(y, list) else y,
        title=view["title"],
    ).get_filled_template()
    assert "<DVC_METRIC" not in json.dumps(spec)
    svg = vl_convert.vegalite_to_svg(spec)
    assert view["title"] in svg and "8192" in svg.replace(",", "")
    if view["template"] == "width_l0_map":
        metrics = ("norm_r2", "vector_r2", "fvu_nonlinear")
        for panel, metric in zip(spec["hconcat"], metrics, strict=True):
            coloured, *texts = (layer["encoding"] for layer in panel["spec"]["layer"])
            assert {coloured["color"]["field"], *(text["text"]["field"] for text in texts)} == {metric}
            assert all(f">{row[metric]:.3f}<" in svg for row in rows)


def test_summary_ends_with_the_report(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)
    main(["summary"])
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 6 and lines[-1] == f"report: {(ROOT / 'reports' / 'report.html').as_uri()}"


def test_summary_before_any_run_says_what_to_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SystemExit, match=r"names no profile\. Run from the repository"):
        main(["summary"])
    Path("params.yaml").write_text("profile: smoke\n")
    with pytest.raises(SystemExit, match=r"claims\.json does not exist. Run `dvc repro`"):
        main(["summary"])
    write_json(reports_of("smoke").claims, {})
    with pytest.raises(SystemExit, match=r"report\.html does not exist. Run `make repro`"):
        main(["summary"])
