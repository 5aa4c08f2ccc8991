import json
from pathlib import Path

import pytest
import yaml
from fake_results import fake_receipt
from rocrate.rocrate import ROCrate

from darkmatter.audit.export import export
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
    made = folder / "reports" / "smollm2" / "figures"
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
    (folder / "params.yaml").write_text("profile: smollm2\n")
    (folder / "claims.yaml").write_text("claims: []\n")
    write_text = lambda path, content: (folder / path).write_text(json.dumps(content))  # noqa: E731 - takes surrogates
    (folder / "reports" / "smollm2" / "receipts").mkdir()
    verdicts = {"verdicts": {"reproduced": 1}, "tested": 1, "profile": "smollm2", "model": text}
    write_text("reports/smollm2/claims.json", verdicts)
    first = fake_receipt("first") | {"inputs": {}, "outputs": {"data/first": "cd" * 32}, "libraries": {text: "1"}}
    second = fake_receipt("second@a.1") | {
        "command": "python -m stages.second a.1",
        "inputs": {"data/first/x.npy": "ef" * 32},
        "outputs": {"reports/smollm2/figures": sha256_path(made)},
    }
    for receipt in (first, second):
        write_text(f"reports/smollm2/receipts/{receipt['stage']}.json", receipt)
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
    assert files == ["reports/smollm2/figures/fig01_breakdown.json", "reports/smollm2/figures/fig01_breakdown.svg"]
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
    assert run["result"].id == "reports/smollm2/figures/"
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
    (root / "reports" / "smollm2" / "figures" / "fig01_breakdown.json").write_text('{"other": 1}')
    (path,) = export("ro-crate", tmp_path / "out", root)
    assert [file.name for file in path.parent.iterdir()] == ["ro-crate-metadata.json"]
    result = ROCrate(path).dereference("#run-second%40a.1")["result"]
    assert result.id.startswith("ni:") and "no longer in the repository" in result["description"]


def test_no_run_and_paths_outside_are_refused(tmp_path: Path) -> None:
    root = repository(tmp_path / "r", "plain")
    receipt = json.loads((root / "reports" / "smollm2" / "receipts" / "first.json").read_text())
    write_json(
        root / "reports" / "smollm2" / "receipts" / "first.json", receipt | {"outputs": {"../../escaped": "ab" * 32}}
    )
    for kind in ("codecheck", "ro-crate"):
        with pytest.raises(ArtifactError, match="outside the repository"):
            export(kind, tmp_path / "out", root)
    for file in (root / "reports" / "smollm2" / "receipts").iterdir():
        file.unlink()
    with pytest.raises(ArtifactError, match="make repro"):
        export("codecheck", tmp_path / "out", root)
    with pytest.raises(ValueError, match="ro-crate"):
        export("checklist", tmp_path / "out", ROOT, with_files=True)
