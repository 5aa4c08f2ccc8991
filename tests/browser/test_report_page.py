"""The report in Chromium: quiet, offline, usable by keyboard, on a phone, in the dark, on paper, without JavaScript."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Page

from darkmatter.figures import FIGURES

SCREENSHOTS = Path(__file__).parent / "screenshots"  # kept for people to look at; git ignores it
PHONE, DESK = {"width": 380, "height": 800}, {"width": 1440, "height": 900}
ROWS = "#claims table.claims tbody tr"


@pytest.fixture(scope="module")
def desk(open_page: Callable[..., Page], report: Path) -> Page:
    """One page for all tests of a wide screen; each leaves it as it found it."""
    return open_page(report)


@pytest.fixture(scope="module")
def claims(report: Path) -> list[dict[str, Any]]:
    return json.loads((report.parent / "claims.json").read_text(encoding="utf-8"))["claims"]


def test_one_small_file_that_asks_for_nothing(desk: Page, report: Path) -> None:
    assert report.stat().st_size < 5_000_000
    assert desk.events == []
    others = [url for url in desk.requests if url != report.as_uri() and not url.startswith("data:")]
    assert others == []


def test_links_resolve(desk: Page, report: Path) -> None:
    links = set(desk.eval_on_selector_all("a[href]", "links => links.map(link => link.getAttribute('href'))"))
    ids = set(desk.eval_on_selector_all("[id]", "nodes => nodes.map(node => node.id)"))
    assert {unquote(link[1:]) for link in links if link.startswith("#")} <= ids
    outside = {link for link in links if urlsplit(link).scheme}
    assert all(link.startswith("https://") for link in outside)
    files = {urlsplit(link) for link in links - outside if not link.startswith("#")}
    assert files and not [file.path for file in files if not (report.parent / unquote(file.path)).is_file()]


def test_every_figure_and_claim_is_there_without_javascript(
    open_page: Callable[..., Page], report: Path, claims: list[dict[str, Any]]
) -> None:
    page = open_page(report, java_script_enabled=False)
    assert page.locator(ROWS).count() == len(claims) == 54
    assert page.locator(f"{ROWS}:visible").count() == len(claims)
    seen = page.eval_on_selector_all("figure img", "all => all.map(i => i.checkVisibility() && i.naturalWidth > 100)")
    assert seen == [True] * sum(not entry.is_table for entry in FIGURES)
    assert not page.locator("input:visible, select:visible, th button:visible").count()


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_no_violation_of_accessibility_rules(scheme: str, desk: Page) -> None:
    """All of axe's rules in the light; in the dark those that depend on colour."""
    rules = {"runOnly": ["color-contrast", "link-in-text-block"]} if scheme == "dark" else {}
    desk.emulate_media(color_scheme=scheme)
    found = Axe().run(desk, options={"resultTypes": ["violations"], **rules}).response["violations"]
    assert not [(rule["id"], node["target"], node["failureSummary"]) for rule in found for node in rule["nodes"]]


@pytest.mark.parametrize("size", [PHONE, DESK], ids=["phone", "desk"])
def test_nothing_is_wider_than_the_screen(size: dict[str, int], desk: Page) -> None:
    desk.set_viewport_size(size)
    assert desk.evaluate("document.documentElement.scrollWidth") == size["width"]
    SCREENSHOTS.mkdir(exist_ok=True)
    for scheme in ("light", "dark"):
        desk.emulate_media(color_scheme=scheme)
        for name in ("h1", "#claims", "#figures"):
            desk.locator(name).first.evaluate("node => node.scrollIntoView()")
            path = SCREENSHOTS / f"{name.lstrip('#')}-{size['width']}-{scheme}.png"
            desk.screenshot(path=path)
            assert path.stat().st_size > 10_000
