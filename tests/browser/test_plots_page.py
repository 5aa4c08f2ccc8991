"""DVC's page of plots, made by DVC's own renderer from our template: it draws, loads nothing, and runs no data."""

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from dvc_render import ImageRenderer, VegaRenderer, render_html
from hostile import NODES, payloads
from playwright.sync_api import Page

from darkmatter.report.plots_page import DRAW, SCRIPT, write_script

ROOT = Path(__file__).parent.parent.parent
TEMPLATES = ROOT / ".dvc" / "plots"
BREAKOUT = (
    "</script></template><img src=x onerror=\"document.title='owned'\">"
    "<script>document.title='owned';fetch('https://evil.example/')</script>"
)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("plots")
    (root / DRAW).parent.mkdir(parents=True)
    shutil.copy(ROOT / DRAW, root / DRAW)
    return write_script(root).parent


def page(folder: Path, text: str) -> Path:
    rows = [
        {"name": text, "rev": "workspace", "d_sae": width, "l0": 32, "norm_r2": 0.8, "vector_r2": 0.5}
        for width in (1, 2)
    ]
    view = {"template": "width_l0_map", "template_dir": str(TEMPLATES), "x": "d_sae", "y": "l0", "title": "Maps"}
    (folder / "a.svg").write_text('<svg xmlns="http://www.w3.org/2000/svg" width="9" height="9"/>')
    renderers = [
        VegaRenderer([row | {"fvu_nonlinear": 0.1} for row in rows], "Maps", **view),
        VegaRenderer([row | {"fvu_nonlinear": 0.1} for row in rows], "reports/smoke/results/x.json", **view),
        ImageRenderer([{"src": "a.svg", "rev": "workspace"}], "reports/smoke/figures/a.svg"),
    ]
    return Path(render_html(renderers, folder / "index.html", TEMPLATES / "page.html"))


@pytest.fixture(scope="module")
def opened(folder: Path, open_page: Callable[..., Page]) -> Page:
    plain = open_page(page(folder, "plain"))
    plain.wait_for_selector("figure svg")
    return plain


def test_views_and_figures_are_drawn_from_local_files_alone(opened: Page) -> None:
    assert opened.locator("figure svg").count() == 1
    assert opened.locator("figure svg text", has_text="0.800").count() >= 2
    assert opened.evaluate("[...document.images].map((image) => image.naturalWidth)") == [9]
    assert "1 result files that are no views" in opened.inner_text("main")
    assert opened.events == []
    assert {Path(address).name for address in opened.requests} == {"index.html", SCRIPT.name, "a.svg"}


def test_text_that_breaks_out_of_its_script_never_runs(folder: Path, open_page: Callable[..., Page]) -> None:
    opened = open_page(page(folder, BREAKOUT))
    opened.wait_for_selector("figure")
    assert opened.title() == "Plots"
    assert all(address.startswith("file:") for address in opened.requests)
    assert opened.locator("figure svg").count() == 0


def test_payloads_in_names_add_no_node(folder: Path, opened: Page, open_page: Callable[..., Page]) -> None:
    """All but the one above, which breaks out; with the page's policy ignored, so that they would run if they could."""
    attacked = open_page(page(folder, " ".join(payloads()["sae"][1:])), bypass_csp=True)
    attacked.wait_for_selector("figure svg")
    assert attacked.evaluate(NODES) == opened.evaluate(NODES)
    assert attacked.events == [] and attacked.evaluate("typeof window.owned") == "undefined"
