"""Two made-up machines whose arithmetic differs: a lock of the other one makes nothing run that this one has run."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from darkmatter.planning.run_cache import forget_what_nobody_has

BIN = Path(sys.executable).parent
PIPELINE = """stages:
  train:
    cmd: cat text > weights; echo "weights $MACHINE" >> weights; echo ran >> ../ran
    deps: [text]
    outs: [weights]
  judge:
    cmd: cat weights > claims; echo "judged $MACHINE" >> claims; echo ran >> ../ran
    deps: [weights]
    metrics:  # as in dvc.yaml here: DVC keeps no run of a stage whose `outs` are without a cache
      - claims: {cache: false}
"""


class Machine:
    """A clone with a cache of its own, in which commands see the machine's name."""

    def __init__(self, folder, name):
        self.folder, self.name = folder, name
        self.log = folder.parent / "ran"

    def run(self, *command):
        path = f"{BIN}{os.pathsep}{os.environ['PATH']}"
        site = str(self.folder / ".dvc" / "tmp" / "site")
        environment = os.environ | {"MACHINE": self.name, "PATH": path, "DVC_SITE_CACHE_DIR": site}
        done = subprocess.run(command, cwd=self.folder, env=environment, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    def repro(self):
        """How many stages ran."""
        before = len(self.log.read_text().split()) if self.log.exists() else 0
        self.run("dvc", "repro")
        return (len(self.log.read_text().split()) if self.log.exists() else 0) - before

    def commit(self):
        self.run("git", "add", "-A")
        self.run("git", "-c", "user.name=a", "-c", "user.email=a@b.c", "commit", "-qm", "a")


@pytest.fixture
def machines(tmp_path, monkeypatch):
    """The first has run and committed; the second has cloned that and run everything itself, as it has no data."""
    first = Machine(tmp_path / "one" / "clone", "first")
    first.folder.mkdir(parents=True)
    first.run("git", "init", "-q")
    first.run("dvc", "init", "-q")
    (first.folder / "dvc.yaml").write_text(PIPELINE)
    (first.folder / "text").write_text("a text\n")
    assert first.repro() == 2
    first.commit()
    second = Machine(tmp_path / "two" / "clone", "second")
    second.folder.parent.mkdir()
    first.run("git", "clone", "-q", str(first.folder), str(second.folder))
    assert second.repro() == 2
    monkeypatch.chdir(second.folder)
    return first, second


def test_after_a_checkout_of_the_lock_nothing_runs(machines):
    _, second = machines
    own = yaml.safe_load((second.folder / "dvc.lock").read_text())
    second.run("git", "checkout", "-q", "dvc.lock", "claims")
    assert yaml.safe_load((second.folder / "dvc.lock").read_text()) != own
    assert "train" in forget_what_nobody_has()
    assert second.repro() == 0
    assert yaml.safe_load((second.folder / "dvc.lock").read_text()) == own
    assert (second.folder / "claims").read_text() == "a text\nweights second\njudged second\n"


def test_dvc_alone_would_run_them(machines):
    _, second = machines
    second.run("git", "checkout", "-q", "dvc.lock", "claims")
    assert second.repro() > 0


def test_what_is_up_to_date_or_was_never_run_here_is_left_alone(machines):
    first, second = machines
    assert forget_what_nobody_has() == []
    (first.folder / "text").write_text("another text\n")
    assert first.repro() == 2
    first.commit()
    second.run("git", "checkout", "-q", ".")
    second.run("git", "pull", "-q")
    forget_what_nobody_has()
    assert second.repro() == 2  # of the new text nothing is here


def test_a_lock_of_outputs_in_the_workspace_is_kept(machines):
    _, second = machines
    second.run("rm", "-r", ".dvc/cache/files")
    before = (second.folder / "dvc.lock").read_text()
    assert forget_what_nobody_has() == [] and (second.folder / "dvc.lock").read_text() == before


def test_where_nothing_ran_yet_nothing_is_forgotten(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert forget_what_nobody_has() == []
