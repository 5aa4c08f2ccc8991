"""Drawings inside the page: nothing else gets in, ids stay apart, colours have their counterparts in the dark."""

import json
import re
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest
from fake_results import fake_estimate, null_estimate

from darkmatter.figures import FIGURES
from darkmatter.figures.style import ON_DARK, ON_LIGHT
from darkmatter.report.svg import CONTRAST, GROUND, Drawings, darkened, luminance
from darkmatter.storage.artifacts import ArtifactError

HEAD = '<svg xmlns="http://www.w3.org/2000/svg" xmlns:xlink="http://www.w3.org/1999/xlink" viewBox="0 0 9 9">'
GLYPH = '<defs><path id="DejaVuSans-18" d="M 1 2"/></defs><use xlink:href="#DejaVuSans-18"/>'


def parsed(text: str) -> ElementTree.Element:
    return ElementTree.fromstring(text)  # noqa: S314 - what the code here wrote


def page_of(inside: str, data: dict[str, Any] | None = None) -> tuple[Drawings, str]:
    figures = Drawings()
    return figures, figures.add("fig", f"{HEAD}{inside}</svg>", data or {}, "a label")


@pytest.fixture(scope="module")
def drawn_figures(drawn: Path) -> tuple[Drawings, dict[str, str]]:
    """Every figure of the profile smoke, as one page holds them."""
    figures = Drawings()
    folder = [entry.id for entry in FIGURES if not entry.is_table]
    return figures, {
        name: figures.add(
            name, (drawn / f"{name}.svg").read_text(), json.loads((drawn / f"{name}.json").read_text()), name
        )
        for name in folder
    }


@pytest.mark.parametrize(
    "inside",
    [
        "<script>alert(1)</script>",
        "<foreignObject/>",
        '<a xlink:href="https://example.org"><path d="M 0 0"/></a>',
        '<path d="M 0 0" onclick="alert(1)"/>',
        '<path d="M 0 0" style="background: url(https://example.org)"/>',
        '<path d="M 0 0" style="fill: url(https://example.org/x.svg#a)"/>',
        '<use xlink:href="https://example.org/x.svg#a"/>',
        '<image xlink:href="data:image/svg+xml;base64,AAAA"/>',
    ],
)
def test_what_does_not_draw_stops_the_page(inside: str) -> None:
    with pytest.raises(ArtifactError, match=r"fig\.svg"):
        page_of(inside)
    assert "<path" in page_of('<path d="M 0 0" style="fill: none"/>')[1]


def test_text_of_a_file_stays_text() -> None:
    hostile = "a&quot; onload=&quot;alert(1)&gt;&lt;b"
    (_, text) = page_of(f'<path d="{hostile}"/>')
    (path,) = parsed(text).iter("path")
    assert path.attrib == {"d": 'a" onload="alert(1)><b'}


def test_every_figure_is_whole(drawn_figures: tuple[Drawings, dict[str, str]]) -> None:
    """Well-formed, its references lead somewhere, and each id is there once in the whole page."""
    figures, texts = drawn_figures
    whole = figures.letters + "".join(texts.values())
    parsed(f"<page>{whole}</page>")
    ids = re.findall(r' id="([^"]+)"', whole)
    assert len(ids) == len(set(ids))
    assert set(re.findall(r'href="#([^"]+)"', whole)) | set(re.findall(r"url\(#([^)]+)\)", whole)) <= set(ids)
    assert all(name.startswith(("DejaVu", "fig", "sec")) for name in ids)


def test_letters_stand_once() -> None:
    figures = Drawings()
    for name in ("one", "two"):
        assert 'href="#DejaVuSans-18"' in figures.add(name, f"{HEAD}{GLYPH}</svg>", {}, "a label")
    assert figures.letters.count("<path") == 1


def test_every_colour_is_a_variable(drawn_figures: tuple[Drawings, dict[str, str]]) -> None:
    figures, texts = drawn_figures
    used = set(re.findall(r"var\((--[\w-]+)\)", "".join(texts.values())))
    light, dark = figures.style.split("@media")
    assert used - {"--paper"} == set(re.findall(r"(--[\w-]+):", light)) == set(re.findall(r"(--[\w-]+):", dark))
    assert set(re.findall(r'="(#[0-9a-f]{6})"', "".join(texts.values()))) <= {ON_DARK, ON_LIGHT}


@pytest.mark.parametrize("colour", ["#440154", "#0072b2", "#d55e00", "#fde725", "#3f4788"])
def test_lines_can_be_seen_in_the_dark_and_areas_keep_their_colour(colour: str) -> None:
    dark = darkened(colour, area=False)
    parts = [int(dark[at : at + 2], 16) / 255 for at in (1, 3, 5)]
    assert (luminance(*parts) + 0.05) / (luminance(*(3 * [GROUND / 255])) + 0.05) > CONTRAST - 0.05
    assert darkened(colour, area=True) == colour


def test_greys_turn_round() -> None:
    greys = [int(darkened(grey, area=True)[1:3], 16) for grey in ("#ffffff", "#999999", "#333333", "#000000")]
    assert greys == sorted(greys) and greys[0] == GROUND


def test_marks_say_the_numbers_that_they_show() -> None:
    """In the order of the rows, of which those without a value have no mark."""
    marks = "".join(f'<use xlink:href="#m" x="{x}" y="2"/>' for x in (1, 2))
    rows = [{"name": name, "r2": estimate} for name, estimate in zip("abc", ESTIMATES, strict=True)]
    (_, text) = page_of(f'<g id="values-saes-r2"><g>{marks}</g></g>', {"saes": rows})
    titles = [(title.text, use.get("x")) for title, use, _ in parsed(text).iterfind(".//g[@class]")]
    assert titles == [("a: 0.5 [0.49, 0.51]", "1"), ("c: 0.25 [0.24, 0.26]", "2")]
    assert "<title>" not in page_of(f'<g id="series-1">{marks}</g>')[1]


ESTIMATES = (fake_estimate(0.5), null_estimate(), fake_estimate(0.25))


def test_text_on_the_colours_of_a_map_keeps_its_own() -> None:
    (figures, text) = page_of(f'<path d="M 0 0" style="fill: {ON_DARK}; stroke: {ON_LIGHT}"/>')
    assert f'fill="{ON_DARK}"' in text and f'stroke="{ON_LIGHT}"' in text
    assert "--area" not in figures.style and "--line-000000" in figures.style
