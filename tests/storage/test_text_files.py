"""Text that people write: whatever the editor and the system, the same documents and the same tokens."""

import gzip
import json
import subprocess
import zipfile
from pathlib import Path

import pytest

from darkmatter.api.texts import documents
from darkmatter.audit import rules
from darkmatter.ledger.claims import load_claims
from darkmatter.params.compose import composed
from darkmatter.params.schema import load_params
from darkmatter.params.types import ParamsError
from darkmatter.runner.code_identity import ROOT
from darkmatter.sources.packages import Archive
from darkmatter.storage.artifacts import ArtifactError, sha256_bytes
from darkmatter.storage.text_files import json_of, lines_of, text_of

LINES = ["dark matter", "Ünï — 🙂 of a line\u2028with a separator\x0cand a page", " indented, and more "]
MARK = "\ufeff"
FORMS = {
    "LF": "\n".join(LINES) + "\n",
    "no last end": "\n".join(LINES),
    "blank lines": "\n\n".join(LINES) + "\n\n \n\n",
    "mark": MARK + "\n".join(LINES) + "\n",
    "CRLF": "\r\n".join(LINES) + "\r\n",
    "mark and CRLF": MARK + "\r\n".join(LINES) + "\r\n\r\n",
    "CR": "\r".join(LINES) + "\r",
}


@pytest.mark.parametrize("form", FORMS)
def test_a_file_gives_the_same_documents_in_every_form(tmp_path, form):
    path = tmp_path / "texts.txt"
    path.write_bytes(FORMS[form].encode())
    assert [document["text"] for document in documents(path)] == LINES


@pytest.mark.parametrize("encoding", ["utf-16", "utf-32", "utf-8-sig"])
def test_the_mark_names_the_encoding(tmp_path, encoding):
    path = tmp_path / "texts.txt"
    path.write_bytes("\r\n".join(LINES).encode(encoding))
    assert list(lines_of(path)) == LINES
    big = "utf-16-be" if encoding == "utf-16" else "utf-32-be"
    path.write_bytes((MARK + "\n".join(LINES)).encode(big))
    assert list(lines_of(path)) == LINES


def test_a_folder_gives_one_document_per_file_and_none_for_blank_or_hidden_ones(tmp_path):
    files = {"b": MARK + "two\r\nlines\r\n\r\n", "a": "one\n", "c": MARK + "\r\n", ".DS_Store": "\0"}
    for name, content in files.items():
        (tmp_path / name).write_bytes(content.encode())
    result = {document["id"]: document["text"] for document in documents(tmp_path)}
    assert result == {"a": "one", "b": "two\nlines"} and list(result) == ["a", "b"]


def test_marks_where_files_were_joined_are_no_text(tmp_path):
    path = tmp_path / "texts.txt"
    path.write_bytes("".join(MARK + line + "\r\n" for line in LINES).encode())
    assert [document["text"] for document in documents(path)] == LINES


@pytest.mark.parametrize("name", ["texts.jsonl", "texts.txt"])
@pytest.mark.parametrize("inside", [True, False])
def test_json_is_no_text_and_the_line_that_is_named_makes_texts_of_it(tmp_path, monkeypatch, name, inside):
    monkeypatch.chdir(tmp_path)
    path = Path("own", name)
    path.parent.mkdir()
    path.write_text("\n".join(json.dumps({"text": text}) for text in LINES) + "\n", encoding="utf-8")
    with pytest.raises(ArtifactError, match="holds JSON, whose braces") as result:
        list(documents(path.parent if inside else path))
    exec(str(result.value).split("--text texts: ")[1], {})  # noqa: S102
    assert [document["text"] for document in documents(Path("texts"))] == LINES


@pytest.mark.parametrize("line", ["{curly} text", "[1, 2]", '"quoted"', "12"])
def test_text_that_begins_like_json_is_text(tmp_path, line):
    (tmp_path / "a.txt").write_text(line + "\n")
    assert [document["text"] for document in documents(tmp_path / "a.txt")] == [line]


def test_compressed_text_and_a_folder_of_datasets_are_named(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("a.txt.gz").write_bytes(gzip.compress(b"text"))
    with pytest.raises(ArtifactError, match=r"unpack it: gunzip a\.txt\.gz"):
        list(documents(Path("a.txt.gz")))
    Path("set").mkdir()
    Path("set", "state.json").write_text("{}")
    with pytest.raises(ArtifactError, match=r"set is a folder of `datasets`; write its texts out: .*load_from_disk"):
        list(documents(Path("set")))


@pytest.mark.parametrize("content", [b"caf\xe9 au lait", "text".encode("utf-16-le"), b"\xff\xfea", b"PK\x03\x04\0\0"])
def test_what_is_no_text_is_refused_by_name(tmp_path, content):
    path = tmp_path / "notes.txt"
    path.write_bytes(content)
    for read in (lambda: text_of(path), lambda: list(documents(path)), lambda: list(documents(tmp_path))):
        with pytest.raises(ArtifactError, match=r"notes\.txt (is not UTF-8 text|holds NUL characters).*iconv"):
            read()
    path.write_bytes("café au lait".encode())
    assert text_of(path) == "café au lait"


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-32"])
def test_packaged_text_is_read_by_its_mark(tmp_path, encoding):
    with zipfile.ZipFile(tmp_path / "a.whl", "w") as archive:
        archive.writestr("a.txt", "Größe\r\nof it\r".encode(encoding))
        archive.writestr("old.txt", "Größe".encode("cp1252"))
    with Archive(tmp_path / "a.whl") as archive:
        assert archive.text("a.txt") == "Größe\nof it\n"
        assert archive.text("old.txt") == "Größe"


def edited(path: Path, target: Path, mark: str) -> Path:
    """As an editor of another system saves it."""
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_bytes((mark + path.read_text(encoding="utf-8").replace("\n", "\r\n")).encode())
    return target


@pytest.mark.parametrize("mark", ["", MARK])
def test_parameters_and_claims_may_have_a_mark_and_other_line_ends(tmp_path, mark):
    assert load_params(edited(ROOT / "params.yaml", tmp_path / "p.yaml", mark)) == load_params(ROOT / "params.yaml")
    assert load_claims(edited(ROOT / "claims.yaml", tmp_path / "c.yaml", mark)) == load_claims(ROOT / "claims.yaml")


def test_a_profile_may_have_other_line_ends_and_its_mark_is_refused_by_name(tmp_path, monkeypatch):
    monkeypatch.chdir(ROOT)
    wanted = composed("smoke")
    for path in Path("conf").rglob("*.yaml"):
        edited(path, tmp_path / path, "")
    monkeypatch.chdir(tmp_path)
    assert composed("smoke") == wanted
    profile = edited(ROOT / "conf/profile/smoke.yaml", Path("conf/profile/smoke.yaml"), MARK)
    with pytest.raises(ParamsError, match=r"smoke\.yaml begins with a byte-order mark") as result:
        composed("smoke")
    subprocess.run(str(result.value).split("`")[1], shell=True, check=True)  # noqa: S602
    assert not profile.read_bytes().startswith(MARK.encode()) and composed("smoke") == wanted


def test_a_paper_with_a_mark_is_the_paper(tmp_path, monkeypatch):
    ledger = load_claims(ROOT / "claims.yaml")
    text = "Not the paper,\nbut text.\n"
    own = ledger.model_copy(update={"paper": ledger.paper.model_copy(update={"sha256": sha256_bytes(text.encode())})})
    monkeypatch.setattr(rules, "load_claims", lambda path: own.model_copy(update={"claims": [], "errata": []}))
    paper = tmp_path / "paper.txt"
    paper.write_bytes((MARK + text.replace("\n", "\r\n")).encode())
    assert list(rules.quote_findings(paper)) == []
    paper.write_text(text + "More.\n")
    with pytest.raises(ArtifactError, match="is not the text"):
        list(rules.quote_findings(paper))


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
def test_json_of_other_tools_is_read_by_its_mark(tmp_path, encoding):
    path = tmp_path / "cfg.json"
    path.write_bytes('{\r\n "größe": [1, 2]\r\n}\r\n'.encode(encoding))
    assert json_of(path) == {"größe": [1, 2]}
    path.write_bytes('{"größe": [1, 2'.encode(encoding))
    with pytest.raises(ArtifactError, match=r"cfg\.json is not valid JSON .*save it again"):
        json_of(path)
