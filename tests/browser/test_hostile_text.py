"""Text from outside stays text: twelve payloads as token, domain and SAE name, all on one page, policy switched off."""

import json
import re
from collections.abc import Callable
from pathlib import Path

import pytest
from hostile import NODES, PAYLOADS, PLACES, harmless, payloads, plant
from playwright.sync_api import Page
from rendered import report_folder, run_report

from darkmatter.report.render import escaped_controls, visible
from darkmatter.storage.artifacts import write_json, write_text

SAID = "all => all.map(title => [title.childElementCount, title.textContent])"
TEXT = """() => {
    const body = document.body.cloneNode(true);
    body.querySelectorAll("script, style").forEach(node => node.remove());
    return body.textContent;
}"""


@pytest.fixture(scope="module")
def pages(open_page: Callable[..., Page], tmp_path_factory: pytest.TempPathFactory) -> dict[str, Page]:
    """The report with payloads and the report with plain words in their place, opened with its policy ignored.

    Without the policy a script that the escaping lets through would run.
    """
    opened = {}
    for name, texts in (("payloads", payloads()), ("words", harmless())):
        folder = report_folder(tmp_path_factory.mktemp(name))
        plant(folder / "reports" / "smollm2", texts)
        opened[name] = open_page(run_report(folder), bypass_csp=True)
    return opened


def test_payloads_add_no_node_and_no_attribute(pages: dict[str, Page]) -> None:
    assert pages["payloads"].evaluate(NODES) == pages["words"].evaluate(NODES)


def test_payloads_run_nothing(pages: dict[str, Page]) -> None:
    page = pages["payloads"]
    assert page.events == pages["words"].events == []
    assert len(page.requests) == len(pages["words"].requests)
    assert page.evaluate("typeof window.owned") == "undefined"
    assert page.locator("[href^='javascript' i], [src^='javascript' i]").count() == 0


def test_values_under_the_pointer_stay_text(pages: dict[str, Page]) -> None:
    """What the marks of a map say: a title with nothing but text in it, whatever an SAE is called."""
    said = {name: page.eval_on_selector_all("#fig02_maps .says title", SAID) for name, page in pages.items()}
    assert [inside for inside, _ in said["payloads"]] == [inside for inside, _ in said["words"]]
    assert {inside for inside, _ in said["payloads"]} == {0}
    there = {
        kind: [any(escaped_controls(name) in text for _, text in said[kind]) for name in names["sae"]]
        for kind, names in (("payloads", payloads()), ("words", harmless()))
    }
    assert there["payloads"] == there["words"] and sum(there["words"]) > 10


def test_payloads_do_run_where_they_are_not_escaped(open_page: Callable[..., Page], tmp_path: Path) -> None:
    raw = "".join(f"<p>{text}</p>" for text in payloads()["sae"])
    (tmp_path / "raw.html").write_bytes(raw.encode(errors="ignore"))
    page = open_page(tmp_path / "raw.html")
    assert page.evaluate("window.owned") == 1 and "IMG onerror src" in page.evaluate(NODES)


@pytest.fixture(scope="module")
def shown(pages: dict[str, Page]) -> str:
    return pages["payloads"].evaluate(TEXT)


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("name", PAYLOADS)
def test_text_comes_back(name: str, place: str, pages: dict[str, Page], shown: str) -> None:
    """As a reader sees it: a token as a JSON string; other text as it is, but for escapes of what cannot be seen."""
    text = payloads()[place][list(PAYLOADS).index(name)]
    if place == "token":
        assert visible(text) in shown and json.loads(visible(text)) == text
    else:
        assert escaped_controls(text) in shown
        assert re.sub(r"\\u(....)", lambda escape: chr(int(escape[1], 16)), escaped_controls(text)) == text


def test_half_a_surrogate_pair_is_refused_by_the_writer_of_artifacts(tmp_path: Path) -> None:
    """A stage that finds one in its data stops and leaves the old file; only the report shows what it is given."""
    write_text(tmp_path / "results.json", "old")
    with pytest.raises(UnicodeEncodeError):
        write_json(tmp_path / "results.json", {"text": payloads()["token"]})
    assert [path.read_text() for path in tmp_path.iterdir()] == ["old"]
