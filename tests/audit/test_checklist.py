"""docs/checklist.md: links lead somewhere, fields stand in the files it names, commands exist; so in its copy."""

import argparse
import re
import shlex
from pathlib import Path

import pytest
from markdown_it import MarkdownIt

from darkmatter.audit.commands import add_audit
from darkmatter.audit.export import export
from darkmatter.audit.export.checklist import DOCUMENT
from darkmatter.planning.commands import add_plan
from darkmatter.storage.artifacts import ArtifactError

ROOT = Path(__file__).parents[2]
TEXT = (ROOT / DOCUMENT).read_text(encoding="utf-8")
ROWS = re.findall(r"^\| (.*\?) \| (.*) \|$", TEXT, re.MULTILINE)
LINK = re.compile(r"\[([^\]]+)\]\(([^)#]+)(?:#([^)]+))?\)")
CODE = re.compile(r"`([^`]+)`")
PROGRAMS = ("darkmatter", "make", "dvc")
FIELDS = [(field, answer) for _, answer in ROWS for field in CODE.findall(answer) if not field.startswith(PROGRAMS)]
COMMANDS = [code for code in CODE.findall(TEXT) if code.startswith(PROGRAMS)]


def anchors(document: Path) -> set[str]:
    """GitHub's names of a document's headings."""
    headings = re.findall(r"^#+ (.*)$", document.read_text(encoding="utf-8"), re.MULTILINE)
    return {re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-") for heading in headings}


def text_of(place: Path) -> str:
    files = [place] if place.is_file() else sorted(file for file in place.iterdir() if file.is_file())
    return "\n".join(file.read_text(encoding="utf-8") for file in files)


def test_every_question_has_its_answer_in_a_table():
    tokens = MarkdownIt("commonmark").enable("table").parse(TEXT)
    assert len(ROWS) == sum(token.type == "tr_open" for token in tokens) - TEXT.count("| question |") > 25


@pytest.mark.parametrize(("question", "answer"), ROWS)
def test_every_answer_links_to_where_it_stands(question, answer):
    links = LINK.findall(answer)
    assert links, question
    for shown, target, anchor in links:
        place = ROOT / DOCUMENT.parent / target
        assert place.resolve() == (ROOT / shown).resolve() and place.exists()
        assert place.is_dir() == target.endswith("/")
        assert not anchor or anchor in anchors(place)


@pytest.mark.parametrize(("field", "answer"), FIELDS)
def test_every_field_stands_in_a_file_that_its_answer_links_to(field, answer):
    texts = [text_of(ROOT / shown) for shown, _, _ in LINK.findall(answer)]
    assert any(re.search(rf"(?<!\w){re.escape(field)}(?!\w)", text) for text in texts)


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_exists(command):
    program, *arguments = shlex.split(command)
    if program == "make":
        assert re.search(rf"^{arguments[0]}:", (ROOT / "Makefile").read_text(), re.MULTILINE)
    elif program == "dvc":
        from dvc.cli.parser import get_main_parser

        get_main_parser().parse_args(arguments)
    else:
        parser = argparse.ArgumentParser()
        commands = parser.add_subparsers(required=True)
        add_audit(commands)
        add_plan(commands)
        parser.parse_args(arguments)


@pytest.mark.parametrize("out", ["export", "elsewhere/two levels/down"])
def test_links_of_the_copy_lead_to_the_same_places(tmp_path, out):
    root = tmp_path / "a repository"
    (root / DOCUMENT).parent.mkdir(parents=True)
    (root / DOCUMENT).write_text(TEXT)
    (path,) = export("checklist", root / out, root)
    copied = path.read_text()
    assert LINK.sub("", copied) == LINK.sub("", TEXT)
    for (_, target, anchor), (_, there, same) in zip(LINK.findall(TEXT), LINK.findall(copied), strict=True):
        place = (path.parent / there.replace("%20", " ")).resolve()
        assert place == (root / DOCUMENT.parent / target).resolve() and anchor == same


def test_outside_a_repository_there_is_none(tmp_path):
    with pytest.raises(ArtifactError, match=r"git checkout docs/checklist\.md"):
        export("checklist", tmp_path / "out", tmp_path)
