"""The report for every reader: without JavaScript, on paper, in the dark, on a phone, by the rules of WCAG."""

from collections.abc import Callable
from pathlib import Path

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Page
from reading import DRAWINGS, FILTERS, claims_of, drawings_seen, seen, shown

SCREENSHOTS = Path(__file__).parent / "screenshots"  # kept for people to look at; git ignores it
KEEP_SAMPLES = """() => {
    const seen = new Set();
    for (const row of document.querySelectorAll("#claims tr[data-verdict]")) {
        const kind = [row.dataset.verdict, row.dataset.analogue, !row.querySelector(".flip")].join();
        if (seen.has(kind)) row.parentElement.remove();
        seen.add(kind);
    }
    const repeated = [
        ".part:nth-of-type(n+3)", "svg > g > g", ".facts:nth-of-type(n+4)", "#errata li:nth-of-type(n+4)",
        ".facts div :nth-child(n+4)", "[data-context] > :nth-child(n+40)", "[data-context] ~ [data-context]",
        ".tokens li:nth-child(n+5)", "table:not(.claims) tbody tr:nth-child(n+3)", "#results td:nth-child(n+8)",
        "table:not(.claims) tbody:nth-of-type(n+2)", "#costs details:nth-of-type(n+3)",
    ];
    document.querySelectorAll(repeated.join()).forEach(node => node.remove());
    document.querySelectorAll("details").forEach(node => { node.open = true; });
}"""


@pytest.fixture(scope="module")
def page(open_page: Callable[..., Page], report: Path) -> Page:
    return open_page(report)


@pytest.fixture(scope="module")
def claims(page: Page, report: Path) -> list[str]:
    return sorted(claim["id"] for claim in claims_of(page, report))


def test_all_is_there_without_javascript(open_page: Callable[..., Page], report: Path, claims: list[str]) -> None:
    page = open_page(report, java_script_enabled=False)
    assert sorted(shown(page)) == claims and drawings_seen(page) == DRAWINGS
    assert seen(page, *FILTERS, "th button", "[data-token]") == ["[data-token]"]


def test_everything_but_the_controls_is_on_paper(page: Page, claims: list[str]) -> None:
    page.emulate_media(media="print")
    assert sorted(shown(page)) == claims and drawings_seen(page) == DRAWINGS
    assert seen(page, *FILTERS, "nav", "[data-token]") == ["[data-token]"]
    page.emulate_media(media="screen")


@pytest.mark.parametrize("width", [380, 1440])
def test_nothing_is_wider_than_the_screen(width: int, page: Page) -> None:
    page.set_viewport_size({"width": width, "height": 900})
    assert page.evaluate("document.documentElement.scrollWidth") == width
    page.locator("#claims th button").first.click(trial=True)
    SCREENSHOTS.mkdir(exist_ok=True)
    for scheme in ("light", "dark"):
        page.emulate_media(color_scheme=scheme)
        for name in ("h1", "#headline", "#paper", "#appendix", "#claims", "#tokens"):
            page.locator(name).first.evaluate("node => node.scrollIntoView()")
            path = SCREENSHOTS / f"{name.lstrip('#')}-{width}-{scheme}.png"
            page.screenshot(path=path)
            assert path.stat().st_size > 10_000


def test_tables_name_their_columns_on_a_phone(page: Page) -> None:
    """The heads are gone there, so each cell says its own; what is wider than the screen says that it scrolls."""
    page.set_viewport_size({"width": 380, "height": 900})
    before = "all => all.map(cell => [cell.dataset.label, getComputedStyle(cell, '::before').content])"
    cells = page.eval_on_selector_all("table.claims:not(.all) td", before)
    assert len(cells) > 16 and all(label and label in shown for label, shown in cells)
    hint = "node => getComputedStyle(node, '::before').content"
    assert "Scroll" in page.locator("#fig01_breakdown figcaption").evaluate(hint)
    page.set_viewport_size({"width": 1440, "height": 900})
    assert page.locator("#fig01_breakdown figcaption").evaluate(hint) == "none"


def test_figures_wear_the_colours_of_the_page(page: Page) -> None:
    ground = "node => [getComputedStyle(document.body).backgroundColor, getComputedStyle(node).fill]"
    seen = {}
    for scheme in ("light", "dark"):
        page.emulate_media(color_scheme=scheme)
        seen[scheme] = page.locator("#fig01_breakdown svg path").first.evaluate(ground)
        assert seen[scheme][0] == seen[scheme][1]
    assert seen["light"] != seen["dark"]
    page.emulate_media(color_scheme="light")


def test_no_violation_of_accessibility_rules(page: Page) -> None:
    """With every fold open, in the light all rules of axe, in the dark that of contrast. Comes last: it cuts the page.

    Of what repeats a few are kept, since the time that axe takes goes with the square of the page.
    """
    page.evaluate(KEEP_SAMPLES)
    result = {}
    for scheme, rules in (("light", {}), ("dark", {"runOnly": ["color-contrast"]})):
        page.emulate_media(color_scheme=scheme)
        violations = Axe().run(page, options={"resultTypes": ["violations"], **rules}).response["violations"]
        result[scheme] = [(rule["id"], node["target"], node["html"]) for rule in violations for node in rule["nodes"]]
    assert result == {"light": [], "dark": []}
