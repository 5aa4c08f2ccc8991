"""What ends a stage with one line: params.yaml that changes meanwhile, and a folder that cannot be written."""

from pathlib import Path

import pytest
from profiles import composed

from darkmatter.runner import stage as frame
from darkmatter.runner.stage import Stage, run

PIPELINE = "stages:\n  toy:\n    cmd: python toy.py\n    params: [figures, tokens.seed]\n"
BEFORE = composed("smoke")
AFTER = BEFORE.replace("font_size: ", "font_size: 1")


@pytest.fixture(autouse=True)
def repository(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(frame, "ROOT", tmp_path)
    monkeypatch.setattr(frame, "die_with_parent", lambda: None)
    monkeypatch.setattr(Stage, "receipt", lambda stage: {"inputs": {}})
    Path("dvc.yaml").write_text(PIPELINE)
    Path("params.yaml").write_text(BEFORE)


def rewriting(text: str):
    """A stage during which another command writes params.yaml."""

    def main(stage: Stage) -> None:
        Path("params.yaml").write_text(text)

    return main


def test_a_change_of_what_the_stage_declares_is_refused_and_leaves_no_receipt():
    assert AFTER != BEFORE
    with pytest.raises(SystemExit, match=r"^error in stage toy: params\.yaml has another figures than when it began"):
        run(rewriting(AFTER), "toy")
    assert not list(Path().rglob("toy.json"))


def test_a_change_of_something_else_is_no_matter():
    run(rewriting(BEFORE + "other: 1\n"), "toy")
    assert len(list(Path().rglob("toy.json"))) == 1


def test_a_repository_that_cannot_be_written_is_said_in_one_line(monkeypatch):
    Path(".dvc/tmp/dvc.lock.whole").mkdir(parents=True)  # where the copy of dvc.lock belongs
    Path("dvc.lock").write_text("schema: '2.0'\nstages: {}\n")
    monkeypatch.setenv("DVC_STAGE", "toy")
    with pytest.raises(SystemExit, match=r"^error in stage toy: \[Errno \d+\] .*dvc\.lock\.whole"):
        run(rewriting(BEFORE), "toy")
