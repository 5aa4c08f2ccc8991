"""The command line as a newcomer meets it: help, version, examples that parse, names near the one meant, exit codes."""

import argparse
import errno
import os
import shlex
import sqlite3
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from darkmatter import cli
from darkmatter.audit.command_line import did_you_mean
from darkmatter.audit.derive import Derived, overall
from darkmatter.audit.explain import as_text, explain, in_brief
from darkmatter.audit.lock import read_pipeline
from darkmatter.cli import main, parser
from darkmatter.storage.artifacts import ArtifactError

ROOT = Path(__file__).parents[2]


def commands(of, path=()):
    """Every subcommand with its words, leaves only."""
    for action in of._actions:
        if isinstance(action, argparse._SubParsersAction):
            for name, inner in action.choices.items():
                nested = list(commands(inner, (*path, name)))
                yield from nested or [((*path, name), inner)]


COMMANDS = dict(commands(parser()))


def left(*arguments):
    """The exit code: an int, or the text that Python prints before it leaves with 1."""
    try:
        main(list(arguments))
    except SystemExit as stop:
        return stop.code
    return 0


def test_every_subcommand_is_here():
    named = {" ".join(words) for words in COMMANDS}
    audits = {f"audit {name}" for name in ("verify", "derive", "explain", "rerun", "export")}
    assert named == audits | {
        "params",
        "summary",
        "compare",
        "decompose",
        "demo",
        "plan",
        "doctor",
        "repro",
        "gpu-check",
    }


@pytest.mark.parametrize("words", COMMANDS, ids=" ".join)
def test_a_subcommand_has_a_sentence_and_an_example_that_parses(words):
    command = COMMANDS[words]
    assert command.description[0].isupper() and "." in command.description
    example = shlex.split(command.epilog.removeprefix("example: "))
    assert example[: 1 + len(words)] == ["darkmatter", *words]
    parser().parse_args(example[1:])


@pytest.mark.parametrize("words", COMMANDS, ids=" ".join)
def test_what_takes_a_value_says_of_what_kind_and_what_for(words):
    for action in COMMANDS[words]._actions:
        assert action.help, action.dest
        assert action.nargs == 0 or action.metavar or action.choices, action.dest


@pytest.mark.parametrize("words", [(), ("audit",)])
def test_alone_it_prints_its_help(capsys, words):
    assert left(*words) == 0
    said = capsys.readouterr()
    assert said.out.startswith(f"usage: {' '.join(('darkmatter', *words))} ") and not said.err


def test_make_alone_names_what_can_be_made():
    said = subprocess.run(["make", "--no-print-directory"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    phony = next(line for line in (ROOT / "Makefile").read_text().splitlines() if line.startswith(".PHONY"))
    assert {line.split()[1] for line in said.splitlines()} == {*phony.split()[1:]} - {"help"}


def test_version_is_that_of_the_project(capsys):
    assert left("--version") == 0
    version = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]
    assert capsys.readouterr().out == f"darkmatter {version}\n"


def test_near_names():
    known = ["pursuit-fvu", "pursuit-nonlinear", "sae-count"]
    assert did_you_mean("pursuit-fvuu", known).startswith("; did you mean pursuit-fvu")
    assert did_you_mean("sae-count", known) == did_you_mean("entirely else", known) == ""


@pytest.mark.parametrize(
    ("arguments", "near"),
    [
        (("audit", "explain", "parts-slf"), "parts-self"),
        (("audit", "derive", "parts-slf"), "parts-self"),
        (("audit", "rerun", "pursit"), "pursuit"),
        (("plan", "--profile", "smolm2"), "smollm2 or"),
        (("params", "--profile", "smolm2"), "smollm2 or"),
    ],
)
def test_a_name_that_does_not_exist_is_told_with_those_near_it(monkeypatch, capsys, arguments, near):
    monkeypatch.chdir(ROOT)
    code = left(*arguments)
    said = capsys.readouterr().err + (code if isinstance(code, str) else "")
    assert code == 1 or isinstance(code, str)
    assert f"did you mean {near}" in said


@pytest.mark.parametrize("words", [("nothing",), ("audit", "nothing"), ("audit", "explain"), ("plan", "--nothing")])
def test_wrong_arguments_leave_with_2(capsys, words):
    assert left(*words) == 2
    assert capsys.readouterr().err.startswith("usage: darkmatter")


def test_explain_is_brief_and_has_hashes_only_in_full(monkeypatch):
    monkeypatch.chdir(ROOT)
    result = explain("parts-self")
    brief, full = "\n".join(in_brief(result)), "\n".join(as_text(result))
    words = [line.split()[0] for line in brief.splitlines()[1:]]
    assert list(dict.fromkeys(words)) == ["says", "rule", "paper", "here", "outcome", "command", "more"]
    assert result["rule"]["sha256"][:12] in full and result["rule"]["sha256"][:12] not in brief
    assert result["claim"]["locator"]["sha256"][:12] in full and result["claim"]["locator"]["sha256"][:12] not in brief


def test_derive_counts_once_and_leaves_out_what_has_no_numbers():
    some, none, wrong = (Derived(name, "claims.json") for name in ("some", "none", "wrong"))
    some.comparison.equal, some.comparison.close = 5, 2
    wrong.comparison.differing.append(("a", 1.0, 2.0))
    assert [item.empty for item in (some, none, wrong)] == [False, True, False]
    assert not Derived("absent", "claims.json", lacking="no sums").empty
    said = "in all: 7 numbers derived again, 5 to the last bit and 2 within 1e-06; "
    assert overall([some, none]) == f"{said}none differs; no numbers to derive: none"
    assert overall([some, wrong]) == f"{said}1 DIFFER"


def test_a_reader_that_left_gets_no_traceback():
    reads, writes = os.pipe()
    os.close(reads)
    command = [sys.executable, "-m", "darkmatter.cli", "plan", "--no-probe"]
    with os.fdopen(writes, "w") as output:
        done = subprocess.run(command, cwd=ROOT, stdout=output, stderr=subprocess.PIPE, text=True)
    assert done.returncode == 1 and not done.stderr


def test_a_folder_that_cannot_be_written_is_said_in_one_line(tmp_path, monkeypatch):
    """Each as on a file system that is read-only."""

    def refuse(*_):
        raise OSError(errno.EROFS, "Read-only file system", "params.yaml")

    monkeypatch.setattr(cli, "compose", refuse)
    assert left("params") == "error: [Errno 30] Read-only file system: 'params.yaml'"
    (tmp_path / "repo").write_text("no folder")  # where DVC keeps its databases
    monkeypatch.setattr("dvc.repo.Repo", lambda *_, **__: sqlite3.connect(tmp_path / "repo" / "cache.db"))
    with pytest.raises(ArtifactError, match=r"unable to open database file.*DVC_SITE_CACHE_DIR"):
        read_pipeline(ROOT)
