import json
import re
import shlex
import shutil
from base64 import b64encode
from hashlib import sha256
from html import unescape
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from fake_results import (
    fake_data,
    fake_estimate,
    fake_lemmas,
    fake_receipt,
    fake_results,
    fake_token_view,
    write_results,
)
from hypothesis import given
from hypothesis import strategies as st
from profiles import composed, profile_params
from shown_runs import copy_shown_runs

import stages.figures
import stages.report
from darkmatter.cli import parser
from darkmatter.figures import FIGURES, figure_data, write_figures
from darkmatter.ledger.claims import load_claims
from darkmatter.ledger.verdicts import VERDICTS
from darkmatter.params.schema import load_params
from darkmatter.report.claims import claims_content, judged_now
from darkmatter.report.content import report_content
from darkmatter.report.errata import errata, inconsistent
from darkmatter.report.errata_page import PAGE
from darkmatter.report.errata_page import page as errata_page
from darkmatter.report.figures import Drawn, first_sentence, shown_figure
from darkmatter.report.numbers import digits, estimate_text
from darkmatter.report.render import coded, number, plain_value, render, visible
from darkmatter.report.sources import Provenance, results_shown
from darkmatter.report.story import rerun
from darkmatter.report.svg import Drawings
from darkmatter.report.tokens import tokens_content
from darkmatter.results.load import Results
from darkmatter.runner.stage import Stage
from darkmatter.storage.artifacts import read_json, write_arrays, write_json
from darkmatter.storage.paths import reports_of

ROOT = Path(__file__).parents[2]
LEDGER = load_claims(ROOT / "claims.yaml")
LINKS = {"https://arxiv.org/abs/2410.14670", "https://github.com/JoshEngels/SAE-Dark-Matter", "../README.md"}
VOID = {"meta", "br", "img", "link", "hr", "input"}
PAYLOAD = (
    "<script>alert(1)</script>"
    '"><img src=x onerror=alert(1)>'
    "' onmouseover='alert(1)"
    "</code></table></style><h1>owned"
    "{{ 7 * 7 }}{% raw %}"
    "&lt;b&gt; &amp; <!-- "
    "javascript:alert(1)"
)


class Page(HTMLParser):
    """A strict reading of a page: every element closed in order; elements, attributes, text and scripts collected."""

    def __init__(self, text: str) -> None:
        super().__init__(convert_charrefs=True)
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.text: list[str] = []
        self.code: list[str] = []
        self.open: list[str] = []
        self.feed(text)
        self.close()
        assert not self.open, self.open

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open and self.open[-1] == tag, (tag, self.open)
        self.open.pop()

    def handle_data(self, data: str) -> None:
        (self.code if self.open and self.open[-1] in {"script", "style"} else self.text).append(data)

    def all(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.elements if name == tag]

    @property
    def words(self) -> str:
        return "".join(self.text)


def drawings(page: Page) -> list[dict[str, str | None]]:
    return [attributes for attributes in page.all("svg") if attributes.get("role") == "img"]


def claim(identity: str, section: str, value: Any) -> dict[str, Any]:
    """A row of claims.json: an analogue with one component of two SAEs."""
    estimates = [fake_estimate(0.8) | {"sae": f"resid_post.1/s{seed}", "place": "inside"} for seed in range(2)]
    return {
        "id": identity,
        "section": section,
        "kind": "range",
        "reads": f"what {identity} says",
        "paper_value": value,
        "estimand": "norm_r2_of_every_sae",
        "computes": "`r2`",
        "results": ["results/decomposition/<hookpoint>.json"],
        "not_computed": {"solver": "it has no defined answer"},
        "rule": {"test": "inside", "analogue": {"r2": {"low": 0.7}}},
        "rule_sha256": "ab" * 32,
        "edition": 2,
        "earlier": [
            {
                "edition": 1,
                "why": "nothing could fail it",
                "estimand": "norm_r2_of_every_sae",
                "rule": {"test": "inside", "analogue": {"beside": {"low": -2}}},
                "rule_sha256": "cd" * 32,
                "verdict": "not-testable-in-this-profile",
                "analogue": "disagrees",
                "reason": None,
                "outcomes": {"beside": {"verdict": "not-testable-in-this-profile", "analogue": "disagrees"}},
                "components": {"beside": [fake_estimate(0.5)]},
            }
        ],
        "judged_by": "analogue",
        "out_of_scope": "the claim is about gemma-2-2b",
        "judge": None,
        "components": {
            "r2": estimates,
            "beside": [fake_estimate(0.5)],
            "each_beside": [fake_estimate(0.25) | {"pair": "a to b"}],
        },
        "verdict": "not-testable-in-this-profile",
        "analogue": "agrees",
        "reason": None,
        "outcomes": {"r2": {"verdict": "not-testable-in-this-profile", "analogue": "agrees"}},
        "variants": {
            "token/authors": {
                "outcome": "inconclusive",
                "outcomes": {"r2": "inconclusive"},
                "components": {"r2": [fake_estimate(0.71) | {"place": "across"}], "beside": [fake_estimate(0.123)]},
            },
            "token/paper/per-dimension": {
                "outcome": "disagrees",
                "outcomes": {"r2": "disagrees"},
                "components": {"r2": [fake_estimate(0.61) | {"place": "outside"}]},
            },
            "context/paper": {
                "outcome": "agrees",
                "outcomes": {"r2": "agrees"},
                "components": {"r2": [fake_estimate(0.9) | {"place": "inside"}]},
            },
        },
        "flips": ["token/authors", "token/paper/per-dimension"],
    }


def fake_claims(rows: list[dict[str, Any]]) -> dict[str, Any]:
    verdicts = dict.fromkeys(VERDICTS, 0) | {"not-testable-in-this-profile": len(rows)}
    counts = {"tested": len(rows), "verdicts": verdicts, "analogues": {"agrees": len(rows)}}
    return {"profile": "smoke", **counts, "claims": rows}


@pytest.fixture(scope="module")
def content(drawn: Path) -> dict[str, Any]:
    return make(drawn)


def make(folder: Path, payload: str = "", receipts: bool = True) -> dict[str, Any]:
    """The report's content over a folder of drawn figures; the payload stands wherever text comes from outside."""
    params = profile_params("smoke")
    results = fake_results(params, model=params.model.label + payload)
    data, lemmas, tokens = fake_data(params), fake_lemmas(), fake_token_view()
    tokens["contexts"][0]["text"][0] += payload
    tokens["contexts"][0]["document"] += payload
    results.experiments["per_token_scaling"]["tokens"]["text"][0] += payload
    results.decomposition["resid_post.1"]["saes"][0]["name"] += payload
    source = data["corpus"]["sources"]["words-a"]
    data["corpus"]["sources"] = {
        "words-a" + payload: source | {"domain": "alpha" + payload, "licence": "CC0" + payload}
    }
    lemmas["lemmas"][0]["statement"] += payload
    claims = [
        claim("norm-r2-range", "4.1", {"low": 0.7, "high": 0.95}),
        claim("of-another-ledger" + payload, "9.9" + payload, {"low": 0.7, "high": "0.95" + payload}),
        claim("sae-count", "5.1", 329.0) | {"components": {}, "outcomes": {}, "variants": {}, "flips": []},
    ]
    claims[1]["reads"] += payload
    claims[0]["components"]["r2"][0]["sae"] += payload
    names = ("figures", "tokens", "decomposition@resid_post.0", "decomposition@resid_post.1") if receipts else ()
    result = {name: fake_receipt(name.split("@")[0]) for name in names}
    if receipts:
        result["figures"]["params"] = {"figures": {"seed": 0, "label": "a" + payload}}
    for receipt in result.values():
        receipt["inputs"] = {"reports/smoke/results" + payload: "ab" * 32}
        receipt["machine"]["cpu"] += payload
    for entry in FIGURES if payload else ():
        write_json(folder / f"{entry.id}.json", figure_data(entry, results, params))
    provenance = Provenance(result, {}, "resid_post.1")
    return report_content(params, results, folder, fake_claims(claims), lemmas, data, tokens, LEDGER, provenance)


def figures_of(content: dict[str, Any]) -> list[dict[str, Any]]:
    """Of the whole page, in its order."""
    story = content["story"]
    parts = [one["figures"] for one in (*story["sections"], *story["appendix"])]
    return [story["first_figure"], *(entry for part in parts for entry in part), *story["beyond"]]


@pytest.fixture(scope="module")
def html(content: dict[str, Any]) -> str:
    return render(content)


@pytest.fixture(scope="module")
def page(html: str) -> Page:
    return Page(html)


def test_every_command_that_the_page_names_exists(html: str) -> None:
    lines = [unescape(line) for line in re.findall(r'<code class="command">([^<]*)</code>', html)]
    commands = [
        words[1:] for line in lines for part in line.split("&&") if (words := shlex.split(part))[0] == "darkmatter"
    ]
    assert {"audit", "params"} <= {words[0] for words in commands}
    for words in commands:
        parser().parse_args(words)  # leaves with 2 where there is no such command or option


def test_page_is_well_formed(html: str, page: Page) -> None:
    assert html.startswith("<!DOCTYPE html>")
    assert page.all("html")[0]["lang"] == "en"
    assert len(page.all("h1")) == len(page.all("main")) == html[: html.index("<body>")].count("<title>") == 1
    ids = [attributes["id"] for _, attributes in page.elements if "id" in attributes]
    assert len(ids) == len(set(ids))
    targets = {attributes["href"][1:] for attributes in page.all("a") if attributes["href"].startswith("#")}
    labels = {attributes["aria-labelledby"] for _, attributes in page.elements if "aria-labelledby" in attributes}
    assert targets | labels <= set(ids) and {"headline", "paper", "claims", "limits"} <= targets
    assert all(attributes.get("scope") in {"col", "row", "colgroup", "rowgroup"} for attributes in page.all("th"))
    assert all(len(attributes["aria-label"]) > 10 for attributes in drawings(page))
    assert len(html) < 6_000_000


def test_parser_can_fail() -> None:
    with pytest.raises(AssertionError):
        Page("<p><b>text</p></b>")


def test_nothing_is_loaded_and_nothing_can_run(html: str, page: Page) -> None:
    policy = [a["content"] for a in page.all("meta") if a.get("http-equiv") == "Content-Security-Policy"]
    assert len(policy) == 1
    assert policy[0].startswith("default-src 'none'; script-src 'sha256-")
    assert "unsafe" not in policy[0] and "http" not in policy[0]
    for kind, rule in (("script", "script-src"), ("style", "style-src")):
        texts = re.findall(rf"<{kind}>(.*?)</{kind}>", html, re.DOTALL)
        hashes = {f"'sha256-{b64encode(sha256(text.encode()).digest()).decode()}'" for text in texts}
        allowed = next(part.split() for part in policy[0].split("; ") if part.startswith(rule))
        assert {rule, *hashes} == set(allowed)
    assert page.all("script") == [{}]
    names = {name for name, _ in page.elements}
    assert not names & {
        "link",
        "iframe",
        "object",
        "embed",
        "base",
        "form",
        "img",
        "foreignObject",
        "video",
        "audio",
        "source",
    }
    for name, attributes in page.elements:
        assert not [key for key in attributes if key.startswith("on")], name
        for key in ("src", "href", "srcset", "poster", "background", "action"):
            if (value := attributes.get(key)) is not None:
                outside = LINKS if name == "a" else {"data:image/png;base64"} if name == "image" else set()
                assert value.startswith(("#", "smoke/figures/")) or value.split(",")[0] in outside, value[:80]
    style = html[html.index("<style>") : html.index("</style>")]
    assert "url(" not in style and "@import" not in style


def test_page_serves_phones_darkness_and_paper(html: str, page: Page) -> None:
    assert {"name": "viewport", "content": "width=device-width, initial-scale=1"} in page.all("meta")
    assert "prefers-color-scheme: dark" in html and "@media print" in html


def test_text_from_outside_stays_text(page: Page, drawn: Path, tmp_path: Path) -> None:
    """As many elements as without the payload, with the same attributes, and the payload readable in the text."""
    folder = shutil.copytree(drawn, tmp_path / "figures")
    attacked = Page(render(make(folder, PAYLOAD)))
    assert [name for name, _ in attacked.elements] == [name for name, _ in page.elements]
    assert [sorted(a) for _, a in attacked.elements] == [sorted(a) for _, a in page.elements]
    for start in ("widths-32-k4-s0", "alpha", "CC0", "of-another-ledger", "words-a", "Some CPU", "rho = 3/sqrt(11)."):
        assert start + PAYLOAD in attacked.words, start
    tokens = [json.loads(shown) for shown in re.findall(r'16\s*("(?! *\n)(?:[^"\\]|\\.)*")', attacked.words)]
    assert {" word0" + PAYLOAD, " view0" + PAYLOAD} <= set(tokens)
    assert " view0" + PAYLOAD in attacked.words and "words-a/0" + PAYLOAD in attacked.words
    assert f"widths-32-k4-s0{PAYLOAD}: " in attacked.words  # under the pointer


@given(st.text())
def test_visible_text_round_trips_and_shows_every_character(text: str) -> None:
    shown = visible(text)
    assert shown.isprintable()
    assert json.loads(shown) == text


def test_what_stands_between_backticks_is_code_and_all_of_it_is_escaped() -> None:
    assert coded("slope: `a<b` & c") == "slope: <code>a&lt;b</code> &amp; c"
    assert coded("a lone ` of <two>") == "a lone ` of &lt;two&gt;"
    assert coded("`\u202e`") == "<code>\\u202e</code>"


@given(st.text())
def test_code_changes_no_word(text: str) -> None:
    words = Page(f"<p>{coded(text)}</p>").words
    assert "<" not in str(coded(text)).replace("<code>", "").replace("</code>", "")
    assert "`" not in words or text.count("`") % 2


def test_the_first_screen_names_an_arithmetic_that_is_not_float32() -> None:
    params = profile_params("smoke")
    exact, rounded = (rerun(params, fake_results(params), ["Tiny"], name) for name in ("float32", "bfloat16"))
    assert "contexts." in exact and "float32" not in exact
    assert rounded == exact.replace("contexts.", "contexts, with bfloat16 products in passes and training.")


def test_main_table_has_every_split_and_convention(content: dict[str, Any], page: Page) -> None:
    rows = [row for point in content["hookpoints"] for row in point["rows"]]
    assert len(rows) == len(profile_params("smoke").sae_specs()) and all(len(row["cells"]) == 16 for row in rows)
    for row in rows:
        assert row["name"] in page.words
        assert all(number(cell["value"]) in page.words for cell in row["cells"])
    assert "token,authors" in page.words.replace("\n", "")


def test_every_figure_is_there_with_its_strip(content: dict[str, Any], html: str, page: Page) -> None:
    entries = figures_of(content)
    assert [entry["id"] for entry in entries] == [attributes["id"] for attributes in page.all("figure")]
    assert {entry["id"] for entry in entries} == {entry.id for entry in FIGURES}
    assert len(drawings(page)) == sum(not entry.is_table for entry in FIGURES)
    for entry in entries:
        assert entry["is_table"] or entry["svg"] in html
        assert all(hash[:8] in page.words for hash in entry["hashes"].values())
    assert "python -m stages.figures" in page.words and "0123456789ab+" in page.words


def test_claims_show_numbers_verdict_and_what_flips(page: Page) -> None:
    words = re.sub(r"\s+", " ", page.words)
    assert "R² of 0.7 to 0.95" in words and "what of-another-ledger says 9.9 0.7 to 0.95 r2: " in words
    assert "329 SAEs" in words and "… what sae-count says …" in words
    assert "3 of them could be judged here" in words and "not testable here3" in words
    label = "R² of the error's squared norm"
    assert f"{label}: 2 values, 0.8 to 0.8; 2 inside, agrees" in words and "(beside: 0.5 [0.49, 0.51])" in words
    assert "(each beside: 0.25 [0.24, 0.26])" in words and "resid_post.1/s1: 0.8 [0.79, 0.81], inside" in words
    assert f"⇄ flips inconclusive {label}: 0.71 [0.7, 0.72], inconclusive" in words and "0.123" not in words
    assert f"⇄ flips disagrees {label}: 0.61 [0.6, 0.62], disagrees" in words and "FVU by dimension" in words
    earlier = (
        "On another model it wants “beside” at least −2 (this judged here). It makes of this run: disagrees; beside "
    )
    assert f"{earlier}0.5 [0.49, 0.51]: disagrees. Changed because: nothing could fail it" in words
    assert f"Editions of the ledger: {len(LEDGER.editions)}" in words and all(
        edition.why in words for edition in LEDGER.editions
    )
    assert "Edition 1 counted it as a test: paper inconsistent" in words
    assert "Conventions not varied" in words and "solver: it has no defined answer" in words
    assert f"On another model it wants “{label}” at least 0.7 (this judged here)." in words and "ab" * 32 in words
    assert "darkmatter audit derive norm-r2-range" in words and "darkmatter audit explain sae-count" in words
    rows = [row for row in page.all("tr") if "data-verdict" in row]
    assert [(row["id"], row["data-section"]) for row in rows] == [
        ("claim-norm-r2-range", "4.1"),
        ("claim-of-another-ledger", "9.9"),
        ("claim-sae-count", "5.1"),
    ]
    assert "the claim is about gemma-2-2b" in words
    assert page.all("dt") and len(page.all("dt")) == len(page.all("dd")) > len(VERDICTS)


@pytest.mark.parametrize(
    ("estimate", "text"),
    [
        ({"value": 1.0, "low": 1.0, "high": 1.0}, "1"),
        ({"value": -0.0123456, "low": -0.02, "high": 0.5}, "−0.0123 [−0.02, 0.5]"),
        ({"value": 0.5, "low": 0.5 - 1e-16, "high": 0.5 + 2e-16}, "0.5"),
        ({"value": 0.1125 + 2e-17, "low": 0.1125 - 2e-17, "high": 0.35}, "0.113 [0.113, 0.35]"),
        ({"value": 246900, "low": None, "high": None}, "246,900, no interval"),
        ({"value": None, "low": None, "high": None, "reason": "no <rows>"}, "undefined: no <rows>"),
    ],
)
def test_numbers_of_claims(estimate: dict[str, Any], text: str) -> None:
    assert estimate_text(estimate) == text
    assert digits(0.99124) == "0.9912"
    assert [digits(value) for value in (999.4, 999.7, -999.7, 1000.4)] == ["999", "1,000", "−1,000", "1,000"]


def test_report_without_receipts(drawn: Path) -> None:
    words = Page(render(make(drawn, receipts=False))).words
    assert "No receipts are here" in words and "No receipt of its run is here" in words


def test_undefined_estimates_show_their_reason(content: dict[str, Any]) -> None:
    cell = {"value": None, "low": None, "high": None, "reason": "no variance <here>"}
    row = content["hookpoints"][0]["rows"][0]
    changed = content | {
        "hookpoints": [{"hookpoint": "resid_post.0", "rows": [row | {"cells": [cell, *row["cells"][1:]]}]}]
    }
    assert "undefined: no variance <here>" in Page(render(changed)).words


def test_figure_that_was_not_drawn_says_so(tmp_path: Path) -> None:
    params = profile_params("smoke")
    results = Results(fake_results(params).decomposition, {})
    write_figures(results, params, tmp_path)
    empty = fake_token_view() | {"contexts": []}
    provenance = Provenance({}, {}, "resid_post.1")
    made = report_content(
        params, results, tmp_path, fake_claims([]), fake_lemmas(), fake_data(params), empty, LEDGER, provenance
    )
    words = Page(render(made)).words
    assert "Not drawn: no results of per_token_scaling" in words


def test_figure_of_an_experiment_of_ours_that_is_off_is_that_of_another_run(tmp_path: Path) -> None:
    """And no other figure: those of the paper that this run does not draw stay away."""
    params, provenance = profile_params("smoke"), Provenance({}, {}, "resid_post.1")
    write_figures(Results(fake_results(params).decomposition, {}), params, tmp_path)
    there = Drawn(ROOT / reports_of("smollm2-full").figures, Provenance({}, {}, "resid_post.14", "smollm2-full"))
    here, drawings = Drawn(tmp_path, provenance), Drawings()
    shown = {entry.id: shown_figure(entry, here, [here, there], drawings) for entry in FIGURES}
    elsewhere = {name for name, one in shown.items() if one["profile"]}
    assert elsewhere == {entry.id for entry in FIGURES if entry.paper == "ours" and not here.has(entry)}
    assert "figX_architectures" in elsewhere and shown["figX_architectures"]["not_drawn"] is None
    assert shown["fig04_per_token_scaling"]["not_drawn"]
    assert {name: one["made_by"]["profile"] for name, one in shown.items() if one["profile"]} == dict.fromkeys(
        elsewhere, "smollm2-full"
    )
    derive = shown["figX_architectures"]["made_by"]["derive"]
    assert all(command.endswith(" --profile smollm2-full") for command in derive)


def test_both_stages_from_files_to_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "params.yaml").write_text(composed("smoke"), encoding="utf-8")
    params, reports = load_params(), reports_of("smoke")
    write_json(reports.claims, fake_claims([claim("norm-r2-range", "4.1", 0.7)]))
    write_results(fake_results(params), reports.results)
    write_json(reports.results / "data.json", fake_data(params))
    write_json(reports.results / "lemmas.json", fake_lemmas())
    write_json(reports.results / "token_view.json", fake_token_view())
    shutil.copyfile(ROOT / "claims.yaml", "claims.yaml")
    write_arrays(reports.sums / f"{params.figures.main_hookpoint}.npz", {"unused": np.zeros(1)})
    reports.figures.mkdir()
    copy_shown_runs(tmp_path)
    compared = read_json(ROOT / "reports/compared/amd-epyc-cold.json")
    write_json(Path("reports/compared/of-this-profile.json"), compared | {"profile": "smoke"})
    write_json(Path("reports/compared/of-another.json"), compared)
    Path("reports/smoke/figures/stale.svg").write_text("of another profile")

    stages.figures.main(Stage("figures", params, Path(stages.figures.__file__)))
    assert not Path("reports/smoke/figures/stale.svg").exists()
    assert {"widest_sae", "asymptote"} <= json.loads(reports.metrics.read_text()).keys()
    write_json(reports.receipts / "figures.json", fake_receipt("figures"))
    stages.report.main(Stage("report", params, Path(stages.report.__file__)))
    words = Page(Path("reports/report.html").read_text(encoding="utf-8")).words
    assert "norm-r2-range" in words and "random Llama (tests only)" in words
    assert "of-this-profile" in words and "of-another" not in words


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (None, "—"),
        (True, "yes"),
        ({"exact": "1", "value": 1.0}, "1"),
        ({"exact": "3*sqrt(11)/11", "value": 0.9045340337}, "3*sqrt(11)/11 ≈ 0.9045"),
        ({"value": 0.5, "low": 0.4, "high": 0.6}, "0.5000 [0.4000, 0.6000]"),
        ({"value": None, "reason": "no rows"}, "undefined: no rows"),
        ("6/sqrt(66)", "6/sqrt(66)"),
    ],
)
def test_values_of_lemmas(value: Any, text: str) -> None:
    assert plain_value(value) == text


def test_negative_numbers_have_a_minus_sign() -> None:
    assert number(-0.25) == "−0.250"


def test_a_caption_is_cut_behind_its_first_sentence() -> None:
    assert first_sentence("R² of Fig. 4 by layer. More of it.") == ("R² of Fig. 4 by layer.", "More of it.")
    assert first_sentence("Left: one. Middle: two. Dots are SAEs.") == ("Left: one. Middle: two.", "Dots are SAEs.")
    assert first_sentence("One alone.") == ("One alone.", "")


class Tracking(Results):
    """Results that remember which of them were asked for."""

    def experiment(self, name: str) -> dict[str, Any]:
        self.asked.add(name)
        return super().experiment(name)

    def saes(self, *arguments: Any) -> list[dict[str, Any]]:
        self.asked.add("decomposition")
        return super().saes(*arguments)


@pytest.fixture(scope="module")
def fake() -> Results:
    return fake_results(profile_params("smoke"))


@pytest.mark.parametrize("entry", FIGURES, ids=lambda entry: entry.id)
def test_every_figure_names_the_results_that_it_reads(entry: Any, fake: Results) -> None:
    params = profile_params("smoke")
    results = Tracking(fake.decomposition, fake.experiments)
    object.__setattr__(results, "asked", set())
    figure_data(entry, results, params)
    named = set(results_shown(entry.id))
    assert results.asked <= named and (results.asked == named or named == {"decomposition"})


def receipts_of_a_chain() -> dict[str, Any]:
    made = {name: fake_receipt(name) for name in ("pursuit", "claims", "figures", "decomposition@resid_post.1")}
    made["pursuit"] |= {"inputs": {}, "outputs": {"reports/smoke/results/pursuit.json": "cd" * 32}}
    made["claims"] |= {"inputs": {"reports/smoke/results/pursuit.json": "cd" * 32}}
    return made


def test_claims_behind_a_stale_stage_are_stale() -> None:
    row = claim("pursuit-fvu", "6.1", 0.1) | {"results": ["results/pursuit.json"]}
    other = claim("row-count", "4", 1.0) | {"results": ["results/lemmas.json"], "verdict": "reproduced"}
    stale = {"pursuit": "pursuit ran with another x.py than is here"}
    judged = judged_now(fake_claims([row, other]), Provenance(receipts_of_a_chain(), stale, "resid_post.1"))
    assert [result["verdict"] for result in judged["claims"]] == ["stale", "reproduced"]
    assert judged["verdicts"]["stale"] == 1 and judged["verdicts"]["not-testable-in-this-profile"] == 0
    shown = claims_content(judged, Provenance(receipts_of_a_chain(), stale, "resid_post.1"))["rows"][0]
    assert shown["verdict"] == "stale"
    assert shown["notes"] == ["pursuit ran with another x.py than is here", "it was not testable here"]
    fresh = judged_now(fake_claims([row, other]), Provenance(receipts_of_a_chain(), {}, "resid_post.1"))
    assert [result["verdict"] for result in fresh["claims"]] == ["not-testable-in-this-profile", "reproduced"]


def test_stages_stand_with_parameters_and_inputs() -> None:
    params = {"pursuit": {"groups": ["a", "b"], "contexts": 4}, "profile": "p", "saes.groups": {"widths": {"k": [4]}}}
    receipts = receipts_of_a_chain()
    receipts["pursuit"]["params"] = params
    provenance = Provenance(receipts, {}, "resid_post.1")
    made = provenance.made_by(["pursuit", "decomposition", "unknown"], ["derive pursuit"])
    assert [stage["name"] for stage in made["stages"]] == ["pursuit", "decomposition@resid_post.1"]
    assert made["stages"][0]["parameters"] == [
        ("pursuit.groups", "a, b"),
        ("pursuit.contexts", "4"),
        ("profile", "p"),
    ]
    card = next(card for card in provenance.cards() if card["name"] == "pursuit")
    assert card["parameters"] == [*made["stages"][0]["parameters"], ("saes.groups.widths.k", "4")]
    assert made["derive"] == ["darkmatter audit derive pursuit"] and made["seconds"] == pytest.approx(2 * 12.34)


def test_tokens_share_one_scale() -> None:
    view = fake_token_view()
    view["contexts"][0]["x_sq"][0] = 0.0
    shown = tokens_content(view)
    tokens = [token for context in shown["contexts"] for token in context["tokens"]]
    pairs = sorted(
        (float(token["norms"][norm].replace(",", "")), token["steps"][norm])
        for token in tokens
        for norm in token["norms"]
    )
    assert [step for _, step in pairs] == sorted(step for _, step in pairs)
    assert {step for _, step in pairs} == set(range(len(shown["steps"])))
    assert tokens[0]["share"] == "—" and tokens[1]["share"] == "10 %"
    assert (tokens[0]["position"], tokens[-1]["position"]) == (16, 27)


def test_errata_quote_both_sides() -> None:
    result = {item["id"]: item for item in errata(LEDGER)}
    assert len(result) == len(LEDGER.errata) == 18
    assert result["text-sweep-l0"]["here"] == {
        "section": "4.1",
        "quote": "closest to 50 on Gemma 2 2B and 9B and Llama Scope SAEs",
        "says": "L0 nearest to 50",
    }
    assert result["text-sweep-l0"]["there"]["section"] == "5.1"
    (earlier,) = result["text-sweep-l0"]["earlier"]
    assert (earlier["edition"], earlier["outcome"]) == (1, "paper inconsistent")
    assert result["text-sweep-l0"]["there"]["says"] == "L0 nearest to 60"


def test_what_does_not_follow_is_tested_and_stands_apart() -> None:
    rows = [
        {
            "id": "lemma-poisson",
            "verdict": "stale",
            "was": "paper-inconsistent",
            "components": {"rho": [fake_estimate(0.9)]},
        },
        {"id": "row-count", "verdict": "reproduced", "components": {}},
        {"id": "of-another-ledger", "verdict": "paper-inconsistent", "components": {}},
    ]
    (only,) = inconsistent(rows, LEDGER)
    assert only["numbers"] == ["exact correlation: 0.9 [0.89, 0.91]"] and only["here"]["value"] == "about 0.73"


def test_the_page_of_errata_is_the_ledgers() -> None:
    assert (ROOT / PAGE).read_text(encoding="utf-8") == errata_page(LEDGER)
    for erratum in LEDGER.errata:
        assert f"## {erratum.id}\n" in errata_page(LEDGER) and erratum.says.here in errata_page(LEDGER)
