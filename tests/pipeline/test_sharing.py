"""A reader gets results through a remote and runs nothing: every command of docs/sharing.md, with a real ssh server."""

import os
import re
import shlex
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import asyncssh
import pytest
import toy
import yaml
from ssh_server import ssh_server, write_home

from darkmatter.audit.verify import verify
from darkmatter.runner.code_identity import ROOT

DOCUMENT = (ROOT / "docs" / "sharing.md").read_text()
HOST = "lab.example.org"
OTHER_STYLE = toy.USE.replace("/ 7", "/ 8")


def commands(part: str) -> list[str]:
    """The document's commands of one part."""
    return "".join(re.findall(rf"^```bash run {part}\n(.*?)^```", DOCUMENT, re.MULTILINE | re.DOTALL)).splitlines()


@dataclass
class Clone:
    """A clone of the repository, in which commands are typed.

    Attributes:
        folder: of the repository.
        said: what the last command printed.
        ran: the stages that it ran.
    """

    folder: Path
    said: str = ""

    @property
    def ran(self) -> list[str]:
        return re.findall(r"Running stage '([^']+)'", self.said)

    @property
    def pulled(self) -> dict[str, str]:
        """Name → content of the files that DVC keeps."""
        return {file.name: file.read_text() for file in sorted(self.folder.glob("data/numbers/*"))}

    def run(self, line: str) -> bool:
        """Type a command; whether it succeeded."""
        path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
        environment = {**os.environ, "PATH": path, "DVC_SITE_CACHE_DIR": str(self.folder / ".dvc" / "tmp" / "site")}
        words = shlex.split(line, comments=True)
        if words[0] == "darkmatter":
            words = [sys.executable, "-m", "darkmatter.cli", *words[1:]]
        done = subprocess.run(words, cwd=self.folder, env=environment, capture_output=True, text=True, check=False)
        self.said = f"{done.stdout}{done.stderr}" + (f"exit code {done.returncode}" if done.returncode else "")
        return done.returncode == 0


@pytest.fixture(scope="module")
def disk(tmp_path_factory):
    """What the server holds below /srv/darkmatter; for ssh, this is the home of one who may read it."""
    root, home = tmp_path_factory.mktemp("disk"), tmp_path_factory.mktemp("home")
    (home / ".gitconfig").write_text("[user]\n  name = test\n  email = test@localhost\n")
    with ssh_server(root, home, HOST), pytest.MonkeyPatch.context() as patch:
        patch.setenv("HOME", str(home))
        patch.delenv("SSH_AUTH_SOCK", raising=False)
        yield root / "srv" / "darkmatter"


@pytest.fixture(scope="module")
def owner(disk, tmp_path_factory):
    """Two profiles, each with its commit, shared as the document says."""
    folder = tmp_path_factory.mktemp("clones") / "owner"
    folder.mkdir()
    owner = Clone(toy.build(folder))
    for line in commands("settings"):
        assert owner.run(line), owner.said
    toy.git(folder, "tag", "smollm2-full")
    (folder / "make.py").write_text(toy.MAKE.replace("1000", "2000"))
    assert owner.run("dvc repro"), owner.said
    toy.receipts(folder)
    toy.commit(folder)
    for line in [*commands("push"), *commands("folder")]:
        assert owner.run(line), owner.said
    toy.commit(folder)
    return owner


@pytest.fixture
def reader(owner, request):
    folder = owner.folder.parent / request.node.name
    toy.git(owner.folder, "clone", "-q", str(owner.folder), str(folder))
    yield Clone(folder)
    shutil.rmtree(folder)


@pytest.fixture
def flipped(disk):
    """A byte of one file changes on the server."""
    (path,) = (path for path in disk.rglob("*") if path.is_file() and path.read_bytes() == b"194000\n")
    toy.flip(path)
    yield
    toy.flip(path)


def test_a_reader_gets_everything_and_runs_nothing(owner, reader):
    for line in commands("reader"):
        assert reader.run(line), reader.said
        assert reader.ran == []
        assert not line.startswith("git status") or reader.said == ""
    assert reader.pulled == owner.pulled != {}
    assert "nothing wrong" in reader.said


def test_a_changed_stage_runs_and_fetches_only_what_it_reads(reader):
    (reader.folder / "use.py").write_text(OTHER_STYLE)
    assert reader.run("dvc repro --pull --allow-missing"), reader.said
    assert reader.ran == ["use"]
    assert reader.pulled == {"a.txt": "194000\n"}


def test_another_profile_is_another_commit(reader):
    for line in commands("profile"):
        assert reader.run(line), reader.said
    assert reader.pulled["a.txt"] == "97000\n"


def test_a_folder_has_what_was_pushed_and_no_other_commit(owner, reader):
    assert reader.run("dvc pull --remote beside"), reader.said
    assert reader.pulled == owner.pulled
    shutil.rmtree(reader.folder / ".dvc" / "cache")
    assert reader.run("git checkout --quiet smollm2-full -- dvc.lock make.py")
    assert not reader.run("dvc pull --remote beside")
    assert "neither locally nor on remote" in reader.said


def test_a_flipped_byte_is_refused_and_no_stage_runs_in_its_place(reader, flipped):
    assert not reader.run("dvc pull")
    assert "Checkout failed" in reader.said and "data/numbers" in reader.said
    assert reader.pulled == {}
    (reader.folder / "use.py").write_text(OTHER_STYLE)
    assert not reader.run("dvc repro --pull --allow-missing")
    assert (reader.ran, reader.pulled) == ([], {})


def test_without_verify_a_flipped_byte_is_taken(reader, flipped):
    config = reader.folder / ".dvc" / "config"
    config.write_text(config.read_text().replace("verify = true", "verify = false"))
    assert reader.run("dvc pull"), reader.said
    assert reader.pulled["a.txt"] == "094000\n"
    assert reader.run("dvc status") and "up to date" in reader.said
    assert "tampered" in {finding.kind for finding in verify(reader.folder).findings}


def test_run_cache_restores_what_dvc_keeps_and_not_what_git_keeps(reader):
    (reader.folder / "make.py").write_text(toy.MAKE)
    assert reader.run("dvc repro --pull --allow-missing"), reader.said
    assert "'make' is cached - skipping run" in reader.said
    assert reader.ran == ["use"]
    assert reader.pulled["a.txt"] == "97000\n"


def test_without_the_key_nothing_is_read(reader, tmp_path, monkeypatch):
    port = int(re.search(r"Port (\d+)", Path("~/.ssh/config").expanduser().read_text())[1])
    write_home(tmp_path, HOST, port, asyncssh.generate_private_key("ssh-ed25519"))
    monkeypatch.setenv("HOME", str(tmp_path))
    assert not reader.run("dvc pull")
    assert reader.pulled == {}


def test_settings_of_buckets_are_valid_and_hold_no_credentials(reader):
    for line in commands("bucket"):
        assert reader.run(line), reader.said
    config = (reader.folder / ".dvc" / "config").read_text()
    assert {"url", "verify", "analytics", "remote"} == set(re.findall(r"^    (\w+) =", config, re.MULTILINE))


def test_claims_figures_and_report_read_only_what_git_holds():
    stages = yaml.safe_load((ROOT / "dvc.yaml").read_text())["stages"]
    below_data = lambda stage: [path for path in stages[stage]["deps"] if path.startswith("data/")]  # noqa: E731
    assert [below_data(stage) for stage in ("claims", "figures", "report")] == [[], [], []]
    assert below_data("nulls")
