"""The report in Chromium: asks for nothing, links lead somewhere, the table filters and sorts, by keyboard too."""

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

import pytest
from playwright.sync_api import Page, expect
from reading import ROWS, claims_of, shown

FIELDS = ("verdict", "analogue", "section")


@pytest.fixture(scope="module")
def page(open_page: Callable[..., Page], report: Path) -> Page:
    """One page for all tests; each leaves it as it found it."""
    return open_page(report)


@pytest.fixture(scope="module")
def claims(page: Page, report: Path) -> list[dict[str, Any]]:
    return claims_of(page, report)


def tab_to(page: Page, condition: str, limit: int = 60) -> None:
    """Press Tab until the condition, JavaScript about `node`, holds for what has the focus."""
    for _ in range(limit):
        page.keyboard.press("Tab")
        if page.evaluate(f"(node => {condition})(document.activeElement)"):
            return
    raise AssertionError(f"not reached with {limit} tabs: {condition}")


def natural(text: str) -> list[str]:
    """Numbers inside text by value: fig2 before fig10."""
    return [part.zfill(9) if part.isdigit() else part for part in re.split(r"(\d+)", text)]


def test_one_small_file_that_asks_for_nothing(page: Page, report: Path) -> None:
    assert report.stat().st_size < 6_000_000
    assert page.events == []
    assert [url for url in page.requests if url != report.as_uri() and not url.startswith("data:")] == []


def test_links_resolve(page: Page, report: Path) -> None:
    links = set(page.eval_on_selector_all("a[href]", "links => links.map(link => link.getAttribute('href'))"))
    ids = set(page.eval_on_selector_all("[id]", "nodes => nodes.map(node => node.id)"))
    assert {unquote(link[1:]) for link in links if link.startswith("#")} <= ids
    outside = {link for link in links if urlsplit(link).scheme}
    assert outside == {"https://arxiv.org/abs/2410.14670", "https://github.com/JoshEngels/SAE-Dark-Matter"}
    files = [urlsplit(link).path for link in links - outside if not link.startswith("#")]
    assert files and not [file for file in files if not (report.parent / unquote(file)).is_file()]


@pytest.mark.parametrize("field", FIELDS)
def test_filters_by_word(field: str, page: Page, claims: list[dict[str, Any]]) -> None:
    select = page.locator(f"#filter-{field}")
    values = select.locator("option").evaluate_all("all => all.map(option => option.value)")
    assert values[0] == "" and {*values} >= {claim[field] for claim in claims}
    for value in values[:6]:
        select.select_option(value)
        expected = {claim["id"] for claim in claims if value in ("", claim[field])}
        assert set(shown(page)) == expected
        expect(page.locator("#claims-shown")).to_contain_text(f"{len(expected)} of {len(claims)}")
    select.select_option("")


def test_filters_by_text_and_all_at_once(page: Page, claims: list[dict[str, Any]]) -> None:
    page.fill("#filter-text", "LEMMA-poisson")
    assert "lemma-poisson" in shown(page) and len(shown(page)) < len(claims)
    page.select_option("#filter-section", next(claim["section"] for claim in claims if claim["section"] != "C.1"))
    assert shown(page) == []
    page.select_option("#filter-section", "")
    page.fill("#filter-text", "no claim says this")
    assert shown(page) == []
    expect(page.locator("#claims-shown")).to_contain_text(f"0 of {len(claims)}")
    page.fill("#filter-text", "")
    assert len(shown(page)) == len(claims)


def test_sorting(page: Page) -> None:
    before = shown(page)
    buttons = page.locator("#claims th button")
    assert buttons.count() == 3
    head = page.locator("#claims thead th").first
    buttons.first.click()
    assert shown(page) == sorted(before, key=natural) and head.get_attribute("aria-sort") == "ascending"
    buttons.first.click()
    assert shown(page) == sorted(before, key=natural)[::-1] and head.get_attribute("aria-sort") == "descending"
    buttons.nth(1).click()
    sections = page.eval_on_selector_all(ROWS, "rows => rows.map(row => row.dataset.section)")
    assert sections.index("4.1") < sections.index("5.1") < sections.index("C.1")
    assert head.get_attribute("aria-sort") is None


def test_claims_by_keyboard_alone(page: Page, claims: list[dict[str, Any]]) -> None:
    """From the head of the section, to which the page links: choose an analogue, sort, open the details of a claim."""
    page.locator("#claims-title").click()
    tab_to(page, "node.id == 'filter-analogue'")
    page.keyboard.type("dis")
    assert set(shown(page)) == {claim["id"] for claim in claims if claim["analogue"] == "disagrees"}
    tab_to(page, "node.matches('th button')")
    page.keyboard.press("Enter")
    assert shown(page) == sorted(shown(page), key=natural)
    assert page.evaluate("getComputedStyle(document.activeElement).outlineStyle") != "none"
    tab_to(page, "node.matches('#claims .more summary')")
    page.keyboard.press("Enter")
    command = page.locator("#claims .more details[open] code", has_text="darkmatter audit derive")
    expect(command).to_have_text(f"darkmatter audit derive {shown(page)[0]}")
    expect(command).to_be_visible()
    page.keyboard.press("Enter")
    page.select_option("#filter-analogue", "")


def test_every_claim_names_the_command_that_derives_it(page: Page, claims: list[dict[str, Any]]) -> None:
    commands = page.eval_on_selector_all("#claims code", "all => all.map(code => code.textContent)")
    assert {*commands} >= {f"darkmatter audit derive {claim['id']}" for claim in claims}


def test_tokens_by_keyboard_alone(page: Page) -> None:
    page.locator("#tokens-title").click()
    tab_to(page, "node.name == 'token-colour'")
    colours = "all => all.map(token => getComputedStyle(token).backgroundColor)"
    first = page.eval_on_selector_all("[data-token]", colours)
    page.keyboard.press("ArrowDown")
    assert page.eval_on_selector_all("[data-token]", colours) != first and len(set(first)) > 4
    tab_to(page, "node.matches('[data-context]')")
    here = page.locator("#token-value").inner_text()
    page.keyboard.press("ArrowRight")
    assert page.locator("#token-value").inner_text() != here
    page.locator("input[name=token-colour]").first.check()


def test_link_to_a_hidden_claim_shows_it(page: Page) -> None:
    page.fill("#filter-text", "no claim says this")
    page.evaluate("location.hash = '#claim-lemma-poisson'")
    expect(page.locator("#claim-lemma-poisson")).to_be_in_viewport()
    page.evaluate("location.hash = ''")


def test_filters_stand_in_the_address(page: Page, claims: list[dict[str, Any]]) -> None:
    page.select_option("#filter-analogue", "agrees")
    page.fill("#filter-text", "norm")
    wanted, address = shown(page), page.url
    assert "analogue=agrees" in address and "text=norm" in address and 0 < len(wanted) < len(claims)
    page.goto("about:blank")
    page.goto(address)
    assert set(shown(page)) == set(wanted) and page.input_value("#filter-text") == "norm"
    page.fill("#filter-text", "")
    page.select_option("#filter-analogue", "")
    assert page.url.endswith("#claims") and len(shown(page)) == len(claims)


def test_head_of_the_table_stays_in_sight(page: Page) -> None:
    page.evaluate("location.hash = '#claim-random-parabola'")
    head = page.locator("#claims thead th").first
    expect(head).to_be_in_viewport()
    assert abs(head.bounding_box()["y"]) < 2
    page.evaluate("location.hash = ''")


def test_first_screen_has_the_summary_and_the_whole_first_figure(page: Page) -> None:
    page.evaluate("scrollTo(0, 0)")
    box = page.locator("#fig01_breakdown svg").bounding_box()
    assert box["width"] > 600 and box["y"] > 0 and box["y"] + box["height"] < 900
    last = page.locator(".opening p").last.bounding_box()
    assert page.locator(".opening p").count() == 5 and last["y"] + last["height"] < 900


def test_the_story_is_short(page: Page) -> None:
    page.evaluate("document.querySelectorAll('main details').forEach(one => { one.open = false; })")
    parts = ["header", "#summary", "#headline", "#paper", "#appendix"]
    hidden = "one => [...one.querySelectorAll('.hidden')].map(part => part.textContent).join(' ')"
    words = [len(page.inner_text(part).split()) - len(page.locator(part).evaluate(hidden).split()) for part in parts]
    assert 1_500 < sum(words) <= 3_500


def test_marks_say_their_values_under_the_pointer(page: Page, report: Path) -> None:
    points = json.loads((report.parent / "smollm2/figures/fig02_maps.json").read_text(encoding="utf-8"))["points"]
    said = page.locator("#fig02_maps .says title").all_text_contents()
    assert len(said) == 3 * len(points)
    assert any(text.startswith(points[0]["name"]) and f"{points[0]['norm_r2']['value']:.3g}" in text for text in said)
    page.locator("#fig02_maps .says circle").first.hover()  # nothing lies above the mark
