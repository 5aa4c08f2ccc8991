import json
from pathlib import Path
from types import SimpleNamespace

import pytest
import yaml
from fake_results import fake_receipt
from markdown_it import MarkdownIt
from rocrate.rocrate import ROCrate

from darkmatter.audit.export import KINDS, export, questions
from darkmatter.audit.export.checklist import Item, escape, render
from darkmatter.audit.export.sources import NOT_STATED
from darkmatter.storage.artifacts import ArtifactError, sha256_file, sha256_path, write_json

ROOT = Path(__file__).parents[2]
PAYLOADS = [
    "<script>alert(1)</script>",
    "](javascript:alert(1)) [x](javascript:alert(1)) ![i](https://evil.example/x.png)",
    "# heading `code` **bold** _em_ | cell | $x$ &lt; ~~gone~~ <!-- ",
    "1. item",
    "- item: value # comment",
    "\u2028line\u2029 \x1b[31mred\x00 \u202eright\nnew: line\n---\n!!python/object:os.system",
    "\ud800 alone",
]


@pytest.fixture(params=["plain", *range(len(PAYLOADS))])
def text(request: pytest.FixtureRequest) -> str:
    return request.param if request.param == "plain" else PAYLOADS[request.param]


def in_yaml(text: str) -> str:
    """YAML has no lone surrogates."""
    return text.replace("\ud800", "?")


def repository(folder: Path, text: str) -> Path:
    """A repository of two stages that have run; `text` stands wherever a person could have written it."""
    words = in_yaml(text)
    for name in ("first", "second"):
        (folder / "stages").mkdir(parents=True, exist_ok=True)
        (folder / "stages" / f"{name}.py").write_text(f'"""{name}"""\n')
    made = folder / "reports" / "figures"
    made.mkdir(parents=True)
    (made / "fig01_breakdown.svg").write_text("<svg/>")
    (made / "fig01_breakdown.json").write_text("{}")
    stages = {name: {"desc": words, "cmd": f"python -m stages.{name}"} for name in ("first", "second")}
    stages["second"] = {"foreach": "${hookpoints}", "do": stages["second"]}
    outs = [{"path": "data/first", "md5": "0" * 32 + ".dir", "size": 7}]
    citation = {
        "title": words,
        "license": "MIT",
        "references": [{"title": words, "url": "https://example.org/1", "authors": [{"name": words}]}],
    }
    (folder / "dvc.yaml").write_text(yaml.safe_dump({"stages": stages}))
    (folder / "dvc.lock").write_text(yaml.safe_dump({"stages": {"first": {"outs": outs}}}))
    (folder / "CITATION.cff").write_text(yaml.safe_dump(citation))
    (folder / "params.yaml").write_text((ROOT / "params.yaml").read_text())
    (folder / "claims.yaml").write_text("claims: []\n")
    claim = {
        "id": text,
        "kind": "analytic",
        "section": "1",
        "verdict": "reproduced",
        "analogue": "none",
        "computes": text,
        "rule": {"resample": ["context"]},
        "out_of_scope": text,
        "flips": [text],
    }
    write_text = lambda path, content: (folder / path).write_text(json.dumps(content))  # noqa: E731 - takes surrogates
    (folder / "reports" / "results").mkdir()
    (folder / "reports" / "receipts").mkdir()
    verdicts = {"verdicts": {"reproduced": 1}, "tested": 1, "profile": "smollm2", "model": text, "claims": [claim]}
    write_text("reports/claims.json", verdicts)
    source = {"package": text, "documents": 1, "characters": 2, "domain": text, "licence": text, "sha256": "ab" * 32}
    tokens = {"counts": {"eval": {text: 3}}, "context_length": 8}
    corpus = {"sources": {text: source | {"dropped": {"exact": 0}}}}
    write_text(
        "reports/results/data.json", {"model": {"label": text, "source": text}, "tokens": tokens, "corpus": corpus}
    )
    first = fake_receipt("first") | {"inputs": {}, "outputs": {"data/first": "cd" * 32}, "libraries": {text: "1"}}
    second = fake_receipt("second@a.1") | {
        "command": "python -m stages.second a.1",
        "inputs": {"data/first/x.npy": "ef" * 32},
        "outputs": {"reports/figures": sha256_path(made)},
    }
    for receipt in (first, second):
        write_text(f"reports/receipts/{receipt['stage']}.json", receipt)
    return folder


def references(value: object) -> set[str]:
    match value:
        case {"@id": identifier, **rest} if not rest:
            return {identifier}
        case dict():
            return set().union(*(references(item) for item in value.values()))
        case list():
            return set().union(*(references(item) for item in value))
    return set()


def test_codecheck_draft_is_yaml_with_files_that_exist(tmp_path: Path, text: str) -> None:
    root = repository(tmp_path / "r", text)
    (path,) = export("codecheck", tmp_path / "out", root)
    content = yaml.safe_load(path.read_text(encoding="utf-8"))
    assert path.read_text(encoding="utf-8").startswith("# DRAFT made by a program")
    assert content["darkmatter_draft"].startswith("DRAFT") and content["codechecker"][0]["name"].startswith("DRAFT")
    words = in_yaml(text)
    assert content["paper"] == {"title": words, "authors": [{"name": words}], "reference": "https://example.org/1"}
    assert text.encode("utf-8", "backslashreplace").decode() in content["summary"]
    files = [item["file"] for item in content["manifest"]]
    assert files == ["reports/figures/fig01_breakdown.json", "reports/figures/fig01_breakdown.svg"]
    assert all((root / file).is_file() for file in files)
    assert "Fig. 1" in content["manifest"][1]["comment"]
    assert not {"report", "certificate", "check_time"} & content.keys()
    assert {"report", "certificate", "check_time"} <= set(content["darkmatter_open"])


def test_crate_reads_back_and_every_reference_resolves(tmp_path: Path, text: str) -> None:
    root = repository(tmp_path / "r", text)
    (path,) = export("ro-crate", tmp_path / "out", root, with_files=True)
    graph = json.loads(path.read_text(encoding="utf-8"))["@graph"]
    known = {entity["@id"]: entity for entity in graph}
    assert len(known) == len(graph)
    external = {"https://w3id.org/ro/crate/1.1"}  # the version of the format, no entity
    assert references(graph) - external <= known.keys()
    assert known["./"]["name"].startswith("DRAFT") and known["./"]["description"].startswith("DRAFT")
    assert known["https://example.org/1"]["name"] == in_yaml(text)

    crate = ROCrate(path.parent)
    run = crate.dereference("#run-second%40a.1")
    assert run["instrument"].id == "stages/second.py"
    assert run["object"]["sha256"] == "ef" * 32 and run["object"].id.startswith("ni:///sha-256;7-_v")
    assert run["result"].id == "reports/figures/"
    assert (run["startTime"], run["endTime"]) == ("2026-01-01T00:00:00+00:00", "2026-01-01T00:00:12+00:00")
    assert [step.id for step in crate.mainEntity["step"]] == ["#step-first", "#step-second"]
    assert crate.dereference("#run-first")["result"].type == "Dataset"
    for entity in crate.data_entities:
        copied = path.parent / entity["name"]
        if "File" in entity.type and not entity.id.startswith("ni:"):
            assert sha256_file(copied) == entity["sha256"]
    assert not (path.parent / "data").exists()


def test_crate_keeps_the_hash_of_the_receipt_when_the_file_changed(tmp_path: Path) -> None:
    root = repository(tmp_path / "r", "plain")
    (root / "reports" / "figures" / "fig01_breakdown.json").write_text('{"other": 1}')
    (path,) = export("ro-crate", tmp_path / "out", root)
    assert [file.name for file in path.parent.iterdir()] == ["ro-crate-metadata.json"]
    result = ROCrate(path).dereference("#run-second%40a.1")["result"]
    assert result.id.startswith("ni:") and "no longer in the repository" in result["description"]


def test_checklist_shows_text_as_text(tmp_path: Path, text: str) -> None:
    root = repository(tmp_path / "r", text)
    (path,) = export("checklist", tmp_path / "out", root)
    content = path.read_text(encoding="utf-8")
    assert content.startswith("**DRAFT made by a program")
    tokens = MarkdownIt("gfm-like", {"linkify": False, "html": True}).parse(content)
    inline = [child for token in tokens for child in token.children or []]
    kinds = {token.type for token in [*tokens, *inline]}
    expected = {"text", "strong_open", "strong_close", "em_open", "em_close", "softbreak"}
    assert {token.type for token in inline} - {"text_special"} <= expected
    assert not kinds & {"html_block", "table_open", "code_block", "fence", "ordered_list_open", "hr"}
    assert [token.tag for token in tokens if token.type == "heading_open"] == ["h1"] + 7 * ["h2"]
    assert all(char.isprintable() or char == "\n" for char in content)
    assert NOT_STATED in content


@pytest.mark.parametrize("text", PAYLOADS)
def test_escaped_text_round_trips_through_markdown(text: str) -> None:
    tokens = MarkdownIt("gfm-like", {"linkify": False, "html": True}).parse(escape(text))
    assert [token.type for token in tokens] == ["paragraph_open", "inline", "paragraph_close"]
    shown = "".join(child.content for child in tokens[1].children)
    assert shown == "".join(char if char.isprintable() else json.dumps(char)[1:-1] for char in text).strip()


def test_answers_of_this_repository_name_files_that_exist(tmp_path: Path) -> None:
    (path,) = export("checklist", tmp_path, ROOT)
    lines = path.read_text(encoding="utf-8").splitlines()
    named = {name.replace("\\", "") for line in lines if line.startswith("*From: ") for name in line[7:-1].split(", ")}
    assert {"params.yaml", "reports/receipts/", "reports/claims.json"} <= named
    assert all((ROOT / name).exists() for name in named)


def test_published_saes_are_no_trained_ones() -> None:
    """Without a list of a registry no file of one is named."""
    group = {"saes": [{"d_sae": 512}, {"d_sae": 64}]}
    params = {"saes": {"groups": {}, "published": {"manifest": None, "groups": {"mine": group}}}}
    params["error_saes"] = {"seeds": [0]}
    sources = SimpleNamespace(params=params)
    answer = ["Group mine: 2 published SAEs, width 64, 512."], ("params.yaml",)
    assert questions.saes(sources) == answer
    assert questions.runs(sources)[0][0] == "No SAE is trained on activations: all are published ones."


def test_unanswered_is_left_to_the_author() -> None:
    assert render([Item("S", "Q?", None, ("a.json",))]).endswith(f"**Q?**\n\n{NOT_STATED}\n")


def test_no_run_and_paths_outside_are_refused(tmp_path: Path) -> None:
    root = repository(tmp_path / "r", "plain")
    receipt = json.loads((root / "reports" / "receipts" / "first.json").read_text())
    write_json(root / "reports" / "receipts" / "first.json", receipt | {"outputs": {"../../escaped": "ab" * 32}})
    for kind in KINDS:
        with pytest.raises(ArtifactError, match="outside the repository"):
            export(kind, tmp_path / "out", root)
    for file in (root / "reports" / "receipts").iterdir():
        file.unlink()
    with pytest.raises(ArtifactError, match="make repro"):
        export("checklist", tmp_path / "out", root)
    with pytest.raises(ValueError, match="ro-crate"):
        export("checklist", tmp_path / "out", ROOT, with_files=True)
